"""Memoised pure functions of artifacts, shared by probes."""
