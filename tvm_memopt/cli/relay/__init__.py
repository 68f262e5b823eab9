"""The commands' work with Relay-era TVM."""
