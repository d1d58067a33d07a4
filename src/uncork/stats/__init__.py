"""The only maker of intervals and tests. Every function names its estimand, unit, assumptions and source."""
