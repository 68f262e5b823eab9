"""An RPC server that runs uploaded programs, under QEMU where they are for another machine.

``python -m tvm_memopt.targets.emulator.program_server --port N --key KEY --tracker HOST:PORT`` is TVM's own server with
one more function, which rpc.session calls. Each program is a process of its own: one that crashes costs its own call.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading

from tvm_memopt.targets.rpc.session import RUN_PROGRAM


def register() -> None:
    """Register the function in this process. The sessions of TVM's server are forks of it."""
    import tvm_ffi

    from tvm_memopt.targets.programs import run_program

    def run(name: str, request: bytes, seconds: float) -> bytes:
        path = tvm_ffi.get_global_func("tvm.rpc.server.workpath")(name)
        return run_program(path, bytes(request), seconds)

    tvm_ffi.register_global_func(RUN_PROGRAM, run, override=True)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="TVM's RPC server, with a function that runs uploaded programs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--port-end", type=int, default=9199)
    parser.add_argument("--key", default="")
    parser.add_argument("--tracker")
    given = parser.parse_args()
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # TVM would import it, which takes seconds
    from tvm.rpc.server import PopenRPCServerState

    tracker = None
    if given.tracker is not None:
        host, _, port = given.tracker.rpartition(":")
        tracker = (host, int(port))
    register()
    threading.excepthook = _end  # a server whose listening thread ended would be deaf: it is started again instead
    PopenRPCServerState(given.host, given.port, given.port_end, tracker_addr=tracker, key=given.key).thread.join()


def _end(failure: threading.ExceptHookArgs) -> None:
    sys.__excepthook__(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    sys.stderr.flush()
    os._exit(70)


if __name__ == "__main__":
    main()
