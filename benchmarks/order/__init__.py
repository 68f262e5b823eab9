"""Orders of least peak memory."""
