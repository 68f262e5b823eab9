import sys

from benchmarks.tuning.run import main

if __name__ == "__main__":
    sys.exit(main())
