"""Strict TOML with line and column."""

from intelshare.toml.files import decoded, read_file
from intelshare.toml.positions import Path, Source
from intelshare.toml.reader import MAX_FILE_BYTES, Table, guess, quoted, read_table

__all__ = [
    "MAX_FILE_BYTES",
    "Path",
    "Source",
    "Table",
    "decoded",
    "guess",
    "quoted",
    "read_file",
    "read_table",
]
