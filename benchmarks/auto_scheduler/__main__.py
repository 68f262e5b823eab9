import sys

from benchmarks.auto_scheduler.run import main

if __name__ == "__main__":
    sys.exit(main())
