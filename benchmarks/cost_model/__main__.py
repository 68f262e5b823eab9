import sys

from benchmarks.cost_model.run import main

if __name__ == "__main__":
    sys.exit(main())
