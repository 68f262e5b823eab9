"""The graph network beside its baselines, its speed, and the programs that it learns from."""
