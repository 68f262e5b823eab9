import sys

from benchmarks.order.run import main

if __name__ == "__main__":
    sys.exit(main())
