"""``python -m tvm_memopt``: the same as the ``tvm-memopt`` command."""

from tvm_memopt.cli.main import main

main()
