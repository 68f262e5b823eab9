"""Plan the memory of an ONNX model and compile it: python examples/01_optimize.py"""

from pathlib import Path

import numpy as np
import tvm

import tvm_memopt as mo

MODEL = Path(__file__).parent / "models" / "basic_pitch.onnx"
INPUT, SHAPE = "serving_default_input_2:0", (1, 43844, 1)

mod = mo.import_model(MODEL, {INPUT: SHAPE})
planned, plan = mo.optimize(mod, "llvm")
print(f"arena {plan.arena_nbytes:,} bytes, proved lower bound {plan.lower_bound_nbytes:,}, {plan.status}")

machine = tvm.runtime.vm.VirtualMachine(tvm.compile(planned, "llvm"), tvm.cpu())
audio = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype("float32")
for output in machine["main"](tvm.runtime.tensor(audio)):
    print("output", tuple(output.shape))
