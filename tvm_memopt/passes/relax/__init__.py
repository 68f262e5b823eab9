"""Relax: extraction, planning, and the plan written back."""
