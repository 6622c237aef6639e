"""Every code that can be met is explained, and every exit code stands in one table."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from intelshare import errors
from intelshare.cli import run
from intelshare.cli.shared.codes import EXIT_MEANINGS, Exit, catalogue, exit_of
from intelshare.errors import PEER_CODES
from intelshare.policy.decision import Code

SOURCE = Path(errors.__file__).parent
RAISING = re.compile(r"\w*Error|_?fail|reject\w*|refus\w*|_invalid|error")
WORD = re.compile(r"[A-Z]{2,}(_[A-Z]+)*")


def codes_in_source() -> dict[str, str]:
    """Codes given as the first argument to an error class or a function that raises one."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            code = node.args[0].value
            if isinstance(code, str) and WORD.fullmatch(code) and RAISING.fullmatch(name):
                found[code] = f"{path.relative_to(SOURCE)}:{node.lineno}"
    return found


def test_every_code_raised_in_the_source_is_explained() -> None:
    raised = codes_in_source()
    assert len(raised) > 50
    assert {code: place for code, place in raised.items() if code not in catalogue()} == {}


def test_every_code_that_a_node_answers_with_is_explained() -> None:
    from intelshare.node.refusal import INTERNAL, STATUS

    assert {*STATUS, INTERNAL} <= catalogue().keys()


def test_every_reason_of_a_denial_is_explained() -> None:
    assert {code.value for code in Code} <= catalogue().keys()


def test_a_code_says_what_it_means_and_what_to_do() -> None:
    for name, code in catalogue().items():
        assert WORD.fullmatch(name)
        assert code.means.endswith((".", "?")), name
        assert code.next.endswith("."), name


def test_exit_codes_are_the_published_ones() -> None:
    assert {e.name: int(e) for e in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "DENIED": 3,
        "NOT_AUTHENTICATED": 4,
        "PARTLY": 5,
        "UNREACHABLE": 6,
        "NOT_VERIFIED": 7,
        "NOT_FOUND": 8,
        "CONFLICT": 9,
        "TIMED_OUT": 10,
        "UNKNOWN": 11,
        "PENDING": 12,
        "INTERRUPTED": 130,
    }
    assert EXIT_MEANINGS.keys() == set(Exit)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("POLICY_DENIED", 3),
        ("NOT_AUTHORISED", 4),
        ("TLS_REFUSED", 4),
        ("NODE_UNREACHABLE", 6),
        ("SIGNATURE_INVALID", 7),
        ("NOT_FOUND", 8),
        ("ID_CONFLICT", 9),
        ("DATA_LOCKED", 9),
        ("TIMED_OUT", 10),
        ("OUTCOME_UNKNOWN", 11),
        ("A_CODE_OF_A_NEWER_NODE", 1),
    ],
)
def test_a_code_ends_a_command_with(code: str, expected: int) -> None:
    assert exit_of(code) == expected


def test_errors_explains_a_code_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["errors", "exceeds_ceiling", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "intelshare/code/1"
    assert told["code"] == "EXCEEDS_CEILING"
    assert told["exit"] == 3


def test_errors_guesses_a_mistyped_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["errors", "NOFRN"]) == Exit.NOT_FOUND
    assert 'did you mean "NOFORN"?' in capsys.readouterr().err


def test_help_lists_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "exit-codes"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1 + len(Exit)


def test_every_code_that_a_peer_may_give_is_explained() -> None:
    assert PEER_CODES - {"WHOLE"} - set(catalogue()) == set()
