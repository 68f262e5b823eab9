import sys

from benchmarks.remat.run import main

if __name__ == "__main__":
    sys.exit(main())
