import subprocess
import sys


def test_importing_the_report_pulls_in_no_heavy_package() -> None:
    code = (
        "import sys, tvm_memopt.report; print(sorted({'matplotlib', 'jinja2', 'tvm', 'ortools'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
