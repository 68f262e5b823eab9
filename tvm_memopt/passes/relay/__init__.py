"""The door to Relay-era TVM: extraction, let chains, addresses, storage ids. Public face: ``tvm_memopt.relay``."""
