"""Twins of the native walk over scheduled programs."""
