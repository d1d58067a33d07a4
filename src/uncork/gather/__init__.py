"""The only audit code that runs the model: one gatherer per file, and the store."""
