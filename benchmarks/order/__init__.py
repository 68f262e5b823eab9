"""Benchmark of orders for least peak memory."""
