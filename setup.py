from setuptools import find_packages, setup

TVM = ["apache-tvm>=0.27.0.post1", "apache-tvm-ffi>=0.1.14.post1,<0.1.15"]  # 0.1.15 makes MetaSchedule segfault
ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "onnxslim>=0.1.90"]
TFLITE = ["tflite>=2.18"]
REPORT = ["matplotlib>=3.8", "jinja2>=3.1"]

setup(
    name="tvm-memopt",
    version="0.1.0",
    description="Memory planning for Apache TVM: order, placement and proof, in one arena",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tvm_memopt", "tvm_memopt.*"]),
    package_data={"tvm_memopt": ["py.typed", "**/*.c", "**/*.html.j2", "targets/profiles/*.json"]},
    install_requires=["numpy>=1.26", "ortools>=9.10", "click>=8.1", "rich>=13.7", *TVM],
    extras_require={
        "onnx": ONNX,
        "tflite": TFLITE,
        "report": REPORT,
        "learn": ["torch>=2.4", "xgboost>=2.0"],
        "dev": [*ONNX, *TFLITE, *REPORT, "pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff>=0.6", "mypy>=1.11"],
    },
    entry_points={"console_scripts": ["tvm-memopt=tvm_memopt.cli.main:main"]},
)
