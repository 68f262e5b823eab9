"""Compile a model and a C++ program that runs it, and compare the peak memory of both builds.

python examples/05_without_python/build.py
python examples/05_without_python/build.py --aarch64     # under QEMU, after `tvm-memopt emulator start --light`
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import tvm
import tvm_ffi
from tvm import relax

import tvm_memopt as mo
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.targets.emulator.install import TRIPLE, emulator

HERE = Path(__file__).parent
SHAPE = (1, 16, 256, 256)


def network() -> tvm.IRModule:
    """Two branches of element-wise and pooling operators on a picture of 4 MiB, whose order matters."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            wide = [builder.emit(relax.op.concat([op(x), x], axis=1)) for op in (relax.op.tanh, relax.op.sigmoid)]
            small = [builder.emit(relax.op.nn.max_pool2d(value, (4, 4), (4, 4))) for value in wide]
            result = builder.emit_output(relax.op.add(*small))
        builder.emit_func_output(result)
    return builder.get()


def compile_program(compiler: str, packages: Path, program: Path) -> None:
    """Compile run_model.cc and link it with TVM's runtime in ``packages``."""
    libraries = [packages / "tvm/lib", packages / "tvm_ffi/lib"]
    command = [compiler, "-std=c++17", "-O2", f"-I{Path(tvm_ffi.__file__).parent / 'include'}"]
    command += [str(HERE / "run_model.cc"), "-o", str(program), "-Wl,--no-as-needed"]
    command += [f"-L{path}" for path in libraries] + ["-ltvm_runtime", "-ltvm_ffi", "-Wl,--allow-shlib-undefined"]
    subprocess.run([*command, *(f"-Wl,-rpath,{path}" for path in libraries)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aarch64", action="store_true", help="compile for AArch64 and run under QEMU")
    aarch64 = parser.parse_args().aarch64
    target = tvm.target.Target({"kind": "llvm", "mtriple": TRIPLE} if aarch64 else "llvm")
    compiler = f"{TRIPLE}-g++" if aarch64 else "g++"
    packages = emulator().packages if aarch64 else Path(tvm.__file__).parents[1]
    start = [str(emulator().qemu), "-L", f"/usr/{TRIPLE}"] if aarch64 else []
    planned, plan = mo.optimize(network(), target)
    print(f"arena {plan.arena_nbytes:,} bytes")
    builds = {"planned": tvm.compile(planned, target), "unmodified": build_unmodified(network(), target)}
    shape = "x".join(map(str, SHAPE)) + ":float32"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "run_model"
        compile_program(compiler, packages, program)
        for name, built in builds.items():
            module = Path(folder) / f"{name}.so"
            built.export_library(str(module), fcompile=tvm.support.cc.cross_compiler(compiler))
            command = [*start, str(program), str(module), "main", "3", shape]
            run = subprocess.run(command, capture_output=True, check=True, text=True)
            print(f"{name}: {', '.join(run.stdout.splitlines())}")


if __name__ == "__main__":
    main()
