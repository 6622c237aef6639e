"""Find the cases in a JSON document, and count those to which this implementation gives a different answer.

The shapes are those of ``tests/vectors/README.md``. A case is recognised by its keys, so a file may contain
one list, one object of several lists, a ``{world, cases}``, or a list of those. A case without a known shape
is an error, because a vector that nobody checked proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from intelshare.conformance.bundle_shapes import BUNDLE_SHAPES
from intelshare.conformance.envelope_shapes import ENVELOPE_SHAPES, padding
from intelshare.conformance.log_shapes import LOG_SHAPES
from intelshare.conformance.note_shapes import NOTE_SHAPES
from intelshare.conformance.policy_shapes import POLICY_SHAPES
from intelshare.conformance.release_shapes import RELEASE_SHAPES
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, unusable
from intelshare.conformance.statement_shapes import STATEMENT_SHAPES
from intelshare.conformance.trust_shapes import TRUST_SHAPES
from intelshare.errors import IntelshareError, PolicyFileError
from intelshare.labels import Registry
from intelshare.policy.vectors import world_from_json

MAX_DEPTH = 8
"""The greatest depth to which lists and objects around the cases may nest."""

SHAPES = (
    *POLICY_SHAPES, *STATEMENT_SHAPES, *TRUST_SHAPES, *LOG_SHAPES, *NOTE_SHAPES, *RELEASE_SHAPES,
    *BUNDLE_SHAPES, *ENVELOPE_SHAPES,
)  # fmt: skip
_WORDS: frozenset[str] = frozenset().union(*(shape.keys for shape in SHAPES))
"""The keys of cases: an object that gives one of them a plain value is meant as a case; any other may be a
note.
"""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case to which this implementation gives a different answer. ``expected`` and ``got`` are JSON
    texts.
    """

    case: str
    expected: str
    got: str


def conform(document: Any, registry: Registry) -> tuple[int, list[Mismatch]]:
    """Return the number of statements checked in a JSON document, and those that do not match.

    Raises PolicyFileError INPUT_INVALID if a case has no known shape or lacks required keys, and if the
    document has no case at all.
    """
    checked = 0
    mismatches: list[Mismatch] = []
    for name, answer in _answers(document, Setting(registry), "", 0):
        checked += 1
        if answer.expected != answer.got:
            shown = f"{name} {answer.part}".strip() or f"case {checked}"
            mismatches.append(Mismatch(shown, _text(answer.expected), _text(answer.got)))
    if not checked:
        raise unusable("it contains no case, so it proves nothing")
    return checked, mismatches


def _answers(node: Any, setting: Setting, path: str, depth: int) -> Iterator[tuple[str, Answer]]:
    """Yield the answers of every case, with the name of the case, in the order of the document."""
    if depth > MAX_DEPTH:
        raise unusable("the file nests too deeply")
    if isinstance(node, list):
        if _is_padding(node):
            yield path, padding(node)
            return
        for number, item in enumerate(node):
            yield from _answers(item, setting, f"{path}[{number}]", depth + 1)
        return
    if not isinstance(node, dict):
        raise unusable(f"{path or 'the file'}: a case is an object, not {_text(node)[:80]}")
    shape = _shape(node)
    if shape is not None:
        yield from _judged(shape, node, setting, path)
        return
    inside = dict(node)
    if "world" in node:
        world = _world(inside.pop("world"))
        yield from _answers(inside.pop("cases", []), replace(setting, world=world), path, depth + 1)
    wrapped = {key: value for key, value in inside.items() if isinstance(value, list | dict)}
    meant = any(key in _WORDS and key not in wrapped for key in inside)
    listed = not path or path.endswith("]")
    if meant or (listed and not wrapped and "world" not in node):
        known = ", ".join(sorted(node)) or "nothing"
        raise unusable(f"{path or 'the file'}: an object with {known} is not a case of a known shape")
    for key, value in wrapped.items():
        yield from _answers(value, setting, f"{path}.{key}".lstrip("."), depth + 1)


def _is_padding(node: list[Any]) -> bool:
    return len(node) == 3 and all(type(item) is int for item in node)


def _shape(case: Case) -> Shape | None:
    found = next((shape for shape in SHAPES if shape.fits(case)), None)
    if found is None and ("expect" in case or "error" in case):
        names = ", ".join(shape.name for shape in SHAPES)
        raise unusable(f"case {case.get('id', '?')} has none of these shapes: {names}")
    return found


def _judged(shape: Shape, case: Case, setting: Setting, path: str) -> Iterator[tuple[str, Answer]]:
    name = str(case.get("id", path))
    try:
        shape.check_known(case)
        for answer in shape.judge(case, setting):
            yield name, answer
    except PolicyFileError:
        raise
    except IntelshareError as error:
        # The data that the case is built on cannot be read, so nothing in it was answered as stated.
        yield name, Answer("", "a case that can be read", {"error": error.code})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise unusable(f"case {name or '?'} cannot be used as a {shape.name}: {error!r}") from None


def _world(document: Any) -> Any:
    try:
        return world_from_json(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable(f"the world cannot be used: {error!r}") from None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
