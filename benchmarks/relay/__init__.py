"""Relay-era TVM: our plans beside those of its static memory planner. Needs the environment of ``make test-relay``."""
