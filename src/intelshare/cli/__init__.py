"""The command line. Everything heavy is imported by the command that needs it, never by ``--help``."""

from intelshare.cli.app import main, run

__all__ = ["main", "run"]
