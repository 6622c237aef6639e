"""The command of a bench that measures once and shows a table: options, ``--json``, what went wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.nodes import Failed


def run(
    described: str | None,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    options: Mapping[str, int],
    flags: Sequence[str] = (),
) -> int:
    """Measure and show; the exit code. ``options``: numbers, by name, with what they are if not given;
    ``flags``: what is or is not.
    """
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in options.items():
        parser.add_argument(name, type=int, default=default)
    for name in (*flags, "--json"):
        parser.add_argument(name, action="store_true")
    given = parser.parse_args()
    try:
        found = measure(given)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found)) if given.json else show(found)
    return 0
