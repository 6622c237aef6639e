"""Benches: each a command, each a table. What they measured, and how, is in docs/performance.md."""

import os

# gRPC's C core writes to standard error by itself, and reads this once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
