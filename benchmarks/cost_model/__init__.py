"""Benchmarks of the graph network: accuracy compared with baselines, speed, and training programs."""
