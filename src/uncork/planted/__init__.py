"""Subjects with a known fault, on data that come with a dependency: for the demo, the tests and the benchmarks."""
