"""Tests of the door to Relay-era TVM: collected only where the installed TVM has Relay (``make test-relay``)."""

from tvm_memopt.passes.versions import has_relay

collect_ignore_glob = [] if has_relay() else ["test_*.py"]
