"""Rematerialisation under a budget."""
