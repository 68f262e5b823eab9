"""Tuning guided by the graph network."""
