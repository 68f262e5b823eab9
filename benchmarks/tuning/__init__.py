"""Benchmark of tuning guided by the graph network."""
