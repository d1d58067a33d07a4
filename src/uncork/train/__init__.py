"""Recipe, the training loop, and folds."""
