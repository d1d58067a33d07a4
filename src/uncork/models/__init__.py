"""Adapters to one Model protocol: torch, scikit-learn, predictions only."""
