"""Benchmark of rematerialisation under a budget."""
