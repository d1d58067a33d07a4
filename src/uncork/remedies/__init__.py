"""One way of changing the model or its data per file: a subject without its test split → a treated subject."""
