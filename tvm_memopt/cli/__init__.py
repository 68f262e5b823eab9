"""The ``tvm-memopt`` command: argument parsing and nothing else."""
