"""Benchmark of the auto-scheduler of the Relay-era TVM guided by the graph network."""
