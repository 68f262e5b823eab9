"""Minimum cuts: which tensors to keep across a step, and lower bounds on the cost of repeats."""
