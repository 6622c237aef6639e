"""The command line. Each command imports its heavy modules when it runs, so that ``--help`` stays fast."""

import os

# gRPC's C core writes to standard error, bypassing our logging, and reads this variable once, on import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from intelshare.cli.app import main, run

__all__ = ["main", "run"]
