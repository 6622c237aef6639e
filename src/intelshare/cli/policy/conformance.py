"""``intelshare conformance``: checks test vectors, whoever wrote them, against this implementation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, IntelshareError, Place

MAX_VECTOR_BYTES = 64 << 20


@click.command(
    epilog=examples("intelshare conformance tests/vectors/labels.json tests/vectors/statements.json")
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@printing
def conformance(files: tuple[Path, ...], out: Out) -> int:
    """Check the test vectors in FILES against this implementation: labels, decisions, and every byte of the
    format.

    Prints each mismatch with the expected and the actual value, and exits with 1 if there is any. A vector of
    unknown shape is an error.
    """
    from intelshare.builtin import builtin_registry
    from intelshare.conformance import conform

    total = 0
    found: list[dict[str, str]] = []
    for path in files:
        try:
            checked, mismatches = conform(_read(path), builtin_registry())
        except IntelshareError as error:
            raise ConfigError(error.code, error.message, place=Place(str(path)), hint=error.hint) from None
        total += checked
        for mismatch in mismatches:
            found.append(
                {
                    "file": str(path),
                    "id": mismatch.case,
                    "expected": mismatch.expected,
                    "got": mismatch.got,
                }
            )
            out.line(f"{path}: {mismatch.case}")
            out.line(f"  expected {mismatch.expected}")
            out.line(f"  got      {mismatch.got}")
    out.document("conformance", {"checked": total, "mismatches": found})
    out.line(f"{total} checked, {len(found)} mismatches")
    return Exit.FAILED if found else Exit.DONE


def _read(path: Path) -> object:
    try:
        if path.stat().st_size > MAX_VECTOR_BYTES:
            raise ConfigError("TOO_LARGE", f"a vector file may have at most {MAX_VECTOR_BYTES} bytes")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError("INPUT_INVALID", f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError("INPUT_INVALID", f"it is not JSON in UTF-8: {error}") from None
