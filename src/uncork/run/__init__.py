"""Plan, audit, rank, treat, verify."""
