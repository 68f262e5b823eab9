import sys

from benchmarks.relay.run import main

if __name__ == "__main__":
    sys.exit(main())
