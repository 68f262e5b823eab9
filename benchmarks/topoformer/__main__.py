import sys

from benchmarks.topoformer.run import main

if __name__ == "__main__":
    sys.exit(main())
