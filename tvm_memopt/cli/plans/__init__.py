"""Commands that read a plan and need no model."""
