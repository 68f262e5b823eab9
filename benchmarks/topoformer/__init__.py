"""Benchmark of learned orders."""
