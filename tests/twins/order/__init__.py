"""Twins of the native searches for orders."""
