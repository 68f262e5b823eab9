"""Learned orders."""
