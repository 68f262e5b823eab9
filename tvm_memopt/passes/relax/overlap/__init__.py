"""Outputs that begin inside inputs which are still read."""
