"""Passes over Relax functions: graph extraction, planning, and emission of the planned code."""
