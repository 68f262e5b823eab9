"""Tests of the door to Relay-era TVM: collected only where the installed TVM has Relay (``make test-relay``)."""

import functools

from tvm_memopt.passes.versions import has_relay

collect_ignore_glob = [] if has_relay() else ["test_*.py"]

if has_relay():
    from tvm.relay.backend import te_compiler

    # TVM 0.16 reads its build information anew for every operator, which takes a third of a build's time.
    te_compiler.libinfo = functools.cache(te_compiler.libinfo)
