"""Reading policy files from disk: regular files only, bounded, in UTF-8."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from intelshare.errors import Place, PolicyFileError
from intelshare.toml.reader import MAX_FILE_BYTES


def read_file(path: Path) -> bytes:
    """Return the content of a policy file, at most 1 MiB.

    Raises PolicyFileError TOO_LARGE, REFERENCE_CYCLE (of links), NOT_FOUND (not a regular file: a pipe would
    never end); OSError for whatever the system refuses.
    """
    place = Place(str(path))
    try:
        # Opening a pipe without a writer would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = "it is a link that leads back to itself"
            raise PolicyFileError("REFERENCE_CYCLE", message, place=place) from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        # Check the file that was opened, not the one that has the name by now.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PolicyFileError("NOT_FOUND", "it is not a regular file", place=place)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise PolicyFileError("TOO_LARGE", f"a file may have at most {MAX_FILE_BYTES} bytes", place=place)
    return content


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file of this name. Raises PolicyFileError FILE_SYNTAX with the line that is not
    UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyFileError(
            "FILE_SYNTAX", "this is not UTF-8", place=Place(name, line), hint="save it as UTF-8"
        ) from None
