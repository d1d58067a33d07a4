"""Splits and how they are read: arrays, memory maps, datasets, texts, tables."""
