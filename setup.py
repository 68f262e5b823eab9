"""Build of tvm-memopt: the Python package and its native search core."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

# Objects are kept here, not in the temporary folder of an isolated build: editable installs and wheels share them.
OBJECTS = Path("build", "objects")
NATIVE = Path("tvm_memopt/solvers/native")
FEATURES = Path("tvm_memopt/cost_model/features/native")


class BuildNative(build_ext):
    """Compiles the native core into one shared library without a Python ABI, through apache-tvm-ffi."""

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + ".so"  # no tag of a Python version

    def build_extension(self, ext):
        from tvm_ffi import libinfo

        compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
        if compiler is None:
            raise SystemExit("tvm-memopt: no C++ compiler found: install g++ 11 or later (Debian: apt install g++)")
        flags = ["-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread", "-Wall"]
        flags += shlex.split(os.environ.get("CXXFLAGS", ""))
        includes = [flag for path in libinfo.include_paths() for flag in ("-I", path)]
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp.so")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(
                pool.map(lambda source: self.compile_source(compiler, flags, includes, Path(source)), ext.sources)
            )
        run([compiler, "-shared", *flags, *objects, "-o", str(temporary), libinfo.find_libtvm_ffi()])
        os.replace(temporary, target)

    def compile_source(self, compiler, flags, includes, source):
        """The object file of ``source``: one of an earlier build if no source, flag or tvm-ffi version has changed."""
        import tvm_ffi

        key = hashlib.sha256(shlex.join([compiler, *flags, tvm_ffi.__version__]).encode()).hexdigest()[:12]
        target = OBJECTS / key / source.with_suffix(".o")
        native = next(parent for parent in source.parents if parent.name == "native")
        newest = max(path.stat().st_mtime for path in (source, *native.rglob("*.h")))
        if not target.exists() or target.stat().st_mtime <= newest:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_suffix(".tmp.o")
            run([compiler, *flags, *includes, "-c", str(source), "-o", str(temporary)])
            os.replace(temporary, target)
        return str(target)


def run(command):
    """Call a compiler. Exits with one line where it fails."""
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        reason = f"{command[0]} could not build the native core (exit status {error.returncode})"
        raise SystemExit(f"tvm-memopt: {reason}: a C++20 compiler such as g++ 11 is needed") from None


FFI = "apache-tvm-ffi>=0.1.14.post1,<0.1.15"  # loads the native core; 0.1.15 makes MetaSchedule segfault
CORE = [
    "numpy>=1.26",  # arrays that the native core reads
    "ortools>=9.10",  # CP-SAT
    "click>=8.1",  # the command line
    "rich>=13.7",  # progress on terminals
    'tomli>=2.0; python_version < "3.11"',  # tomllib of Python 3.11: profiles of devices, tables of batch jobs
    FFI,
]
TVM = ["apache-tvm>=0.27.0.post1", FFI]
ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "onnxslim>=0.1.90"]  # reads models; both others fold computed shapes
TFLITE = ["tflite>=2.18"]  # the schema that TVM's importer reads
REPORT = ["matplotlib>=3.8", "jinja2>=3.1"]  # charts; HTML reports
REFERENCE = ["highspy>=1.10"]  # Checkmate's MILP, beside which recomputation is measured
COLLECT = ["psutil>=5.9", "cloudpickle>=2.2", "tornado>=6.3"]  # what TVM's own workers and RPC tracker import
# The same module as xgboost without its CUDA libraries, which are fifty times its size; there is none for macOS.
TREES = ['xgboost-cpu>=3.0; sys_platform != "darwin"', 'xgboost>=2.0; sys_platform == "darwin"']
LEARN = [*COLLECT, *TREES, "torch>=2.4"]  # trains the networks
FARM = [*REPORT, "distributed>=2024.1"]  # Dask: a table of jobs on the processes of one machine or of many
DOCS = [
    "mkdocs-material>=9.6",  # the site
    "mkdocstrings[python]>=0.28",  # the API from docstrings
    "ruff>=0.6",  # line breaks in signatures
]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    'ai-edge-litert>=2.0; sys_platform != "win32"',  # TFLite's own kernels, beside which imports are tested
]
LINT = [
    "ruff>=0.6",  # style
    "mypy>=1.11",  # types
    "import-linter>=2.5",  # which room may import which
    "clang-format>=18",  # style of the C++
    "codespell>=2.3",  # spelling
]
PACKAGING = ["setuptools>=68", "build>=1.2"]


def version():
    """The one place where the version is written."""
    return re.search(r'__version__ = "(.+)"', Path("tvm_memopt/__init__.py").read_text()).group(1)


setup(
    name="tvm-memopt",
    version=version(),
    description="Memory planning for Apache TVM: order, placement and proof, in one arena",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tvm_memopt", "tvm_memopt.*"]),
    package_data={
        "tvm_memopt": [
            "py.typed",
            "**/*.c",
            "export/runtime/*.h",
            "targets/emulator/*.cc",
            "**/*.html.j2",
            "targets/devices/*.toml",
            "**/checkpoint.npz",
            "**/MODEL_CARD.md",
            "cost_model/network/pretrained/*",
        ]
    },
    ext_modules=[
        Extension("tvm_memopt.solvers.native.libmemopt_native", sorted(map(str, NATIVE.rglob("*.cc")))),
        Extension("tvm_memopt.cost_model.features.native.libmemopt_features", sorted(map(str, FEATURES.rglob("*.cc")))),
    ],
    cmdclass={"build_ext": BuildNative},
    install_requires=CORE,
    extras_require={
        "tvm": TVM,
        "onnx": ONNX,
        "tflite": TFLITE,
        "report": REPORT,
        "reference": REFERENCE,
        "learn": LEARN,
        "farm": FARM,
        "all": [*TVM, *ONNX, *TFLITE, *REPORT, *REFERENCE, *LEARN, *FARM],
        "docs": DOCS,
        "dev": [  # without torch, whose CPU build is asked for by its exact version
            *TVM,
            *ONNX,
            *TFLITE,
            *REPORT,
            *REFERENCE,
            *COLLECT,
            *TREES,
            *FARM,
            *TEST,
            *LINT,
            *PACKAGING,
        ],
    },
    entry_points={"console_scripts": ["tvm-memopt=tvm_memopt.cli.main:main"]},
)
