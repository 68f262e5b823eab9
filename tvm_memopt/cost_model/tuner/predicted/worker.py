"""Worker process that searches schedules: ``python -m tvm_memopt.cost_model.tuner.predicted.worker``.

It speaks the protocol of cost_model.measure.worker: one JSON object per line. Torch is hidden: nothing here
needs it, and TVM would import it and scan its modules for each intrinsic.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_memopt.cost_model.network.inference import Predictor

COMMAND = (sys.executable, "-m", "tvm_memopt.cost_model.tuner.predicted.worker")


def main() -> int:
    """Serve requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of TVM must not corrupt a reply

    def send(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics

    with cpu_intrinsics():
        gc.freeze()
        gc.disable()  # a tenth of the search: only the garbage of one kernel gathers
        send({"ready": True})
        for line in sys.stdin:
            send(_answer(json.loads(line)))
            gc.collect()
    return 0


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import tvm

    from tvm_memopt.cost_model.tuner.predicted.kernel_search import Effort, search_kernel

    try:
        mod = tvm.ir.load_json(Path(request["module"]).read_text(encoding="utf-8"))
        target, effort = tvm.ir.load_json(request["target"]), Effort(request["candidates"], request["seconds"])
        starts = [(signature, tuple(map(tuple, decisions))) for signature, decisions in request["starts"]]
        return asdict(search_kernel(mod, target, _predictor(request["checkpoint"]), effort, request["seed"], starts))
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {"error": f"{type(error).__name__}: {lines[-1].strip() if lines else 'no message'}"}


@cache
def _predictor(checkpoint: str) -> Predictor:
    from tvm_memopt.cost_model.network.checkpoint import load_checkpoint
    from tvm_memopt.cost_model.network.inference import Predictor

    return Predictor(load_checkpoint(Path(checkpoint)), checkpoint)


if __name__ == "__main__":
    raise SystemExit(main())
