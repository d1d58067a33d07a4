"""One bottleneck per file: a docstring that is its page, and a pure function of artifacts."""
