"""The command line. Everything heavy is imported by the command that needs it, never by ``--help``."""

import os

# gRPC's C core writes to standard error past every log of ours, and reads this once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from intelshare.cli.app import main, run

__all__ = ["main", "run"]
