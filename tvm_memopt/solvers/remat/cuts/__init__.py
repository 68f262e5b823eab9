"""Minimum cuts: which tensors a large step keeps, and what repeats cost at least."""
