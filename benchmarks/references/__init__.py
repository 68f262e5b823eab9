"""Baselines that only benchmarks need."""
