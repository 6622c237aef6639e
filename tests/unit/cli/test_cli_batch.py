"""``send --batch``: what a line may say, what is said about one that cannot be sent, what is sent again."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelshare.cli import run
from intelshare.cli.analyst.batch import read_items
from intelshare.cli.shared.beside import NodeRegistry
from intelshare.client import Credentials, DraftOutcome, Profile, spooled, write_profile
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.instant import NEVER, Instant, parse
from intelshare.wire.v1 import user_pb2 as pb

NOW = parse("2026-11-24T12:00:00Z")
SHARED = "//FRA SECRET//REL TO FRA, USA"


class Asked:
    """A node that adds nothing to what ships."""

    def own_files(self) -> dict[str, str]:
        return {}


ASKED: Any = Asked()
WORDS = NodeRegistry(ASKED)
LINE = {"to": ["USA"], "category": "cyber", "label": SHARED, "text": "text"}


def written(tmp_path: Path, *lines: object) -> str:
    path = tmp_path / "bulletins.ndjson"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return str(path)


def test_a_line_says_what_the_options_of_send_say(tmp_path: Path) -> None:
    annex = tmp_path / "annex.bin"
    annex.write_bytes(b"\x00\x01")
    line = LINE | {
        "to": ["USA", "KEN"],
        "title": "A title",
        "portions": [{"file": str(annex), "label": "//FRA SECRET"}],
        "precedence": "FLASH",
        "grade": "B2",
        "valid_until": "2026-12-24",
        "flags": ["personal-data"],
        "supersedes": "3f9a1c22",
        "in_reply_to": "4f9a1c22",
        "from": "USA",
        "key": "01890000-0000-7000-8000-000000000000",
    }
    (item,) = read_items(written(tmp_path, line), NOW, WORDS)
    request = item.request
    assert list(request.to) == ["USA", "KEN"]
    assert [(one.kind, one.label) for one in request.portions] == [
        (2, SHARED),
        (1, SHARED),
        (3, "//FRA SECRET"),
    ]
    assert {(one.category, one.grade, tuple(one.flags)) for one in request.portions} == {
        ("cyber", "B2", ("personal-data",))
    }
    assert (request.precedence, request.valid_until) == (4, parse("2026-12-24"))
    assert (request.supersedes, request.in_reply_to, request.in_reply_to_from) == (
        "3f9a1c22",
        "4f9a1c22",
        "USA",
    )
    assert item.key == bytes.fromhex("01890000000070008000000000000000")


def test_empty_lines_count_and_say_nothing(tmp_path: Path) -> None:
    items = read_items(written(tmp_path, LINE, "", "  ", LINE), NOW, WORDS)
    assert [(item.line, item.request.valid_until) for item in items] == [(1, NEVER), (4, NEVER)]


@pytest.mark.parametrize(
    ("line", "field", "code", "says"),
    [
        ("{", None, "INPUT_INVALID", "this line is not a bulletin"),
        ("[]", None, "INPUT_INVALID", "expected `object`"),
        ({"category": "cyber", "label": SHARED, "text": "x"}, None, "INPUT_INVALID", "`to`"),
        (LINE | {"too": 1}, None, "INPUT_INVALID", "unknown field `too`"),
        (LINE | {"to": "USA"}, "to", "INPUT_INVALID", "expected `array`"),
        (LINE | {"to": []}, "to", "INPUT_INVALID", "recipient"),
        (LINE | {"flags": ["a", 3]}, "flags[1]", "INPUT_INVALID", "expected `str`"),
        (LINE | {"precedence": "SOON"}, "precedence", "INPUT_INVALID", "SOON"),
        (LINE | {"label": "//FRA SEKRET"}, "label", "UNKNOWN_LEVEL", "SEKRET"),
        (LINE | {"title": "a\nb"}, "title", "INPUT_INVALID", "one line"),
        (LINE | {"grade": "Z9"}, "grade", "INPUT_INVALID", "Z9"),
        (LINE | {"valid_until": "36h"}, "valid_until", "INPUT_INVALID", "date or time instead"),
        (LINE | {"valid_until": "soon"}, "valid_until", "INPUT_INVALID", "not a time"),
        (LINE | {"file": "a.txt"}, "text", "INPUT_INVALID", "not both"),
        (
            {"to": ["USA"], "category": "cyber", "label": SHARED, "file": "-"},
            "file",
            "INPUT_INVALID",
            "input",
        ),
        (
            {"to": ["USA"], "category": "cyber", "label": SHARED, "file": "none.txt"},
            None,
            "NOT_FOUND",
            "none.txt",
        ),
        ({"to": ["USA"], "category": "cyber"}, None, "INPUT_INVALID", "nothing to send"),
        ({"to": ["USA"], "category": "cyber", "text": "x"}, "label", "INPUT_INVALID", "needs a label"),
        (LINE | {"key": "abc"}, "key", "INPUT_INVALID", "UUID"),
    ],
)
def test_a_line_that_cannot_be_sent_is_named_with_its_field_and_what_to_do(
    tmp_path: Path, line: object, field: str | None, code: str, says: str
) -> None:
    with pytest.raises(IntelshareError) as raised:
        read_items(written(tmp_path, LINE, line), NOW, WORDS)
    error = raised.value
    assert error.place is not None
    assert (error.code, error.place.line, error.place.field) == (code, 2, field)
    assert error.place.source.endswith("bulletins.ndjson")
    assert says in error.message
    assert "nothing was sent" in (error.hint or "")


def test_a_batch_without_a_line_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    for path, code in ((written(tmp_path), "INPUT_INVALID"), (str(tmp_path / "none"), "NOT_FOUND")):
        with pytest.raises(IntelshareError) as raised:
            read_items(path, NOW, WORDS)
        assert raised.value.code == code


class Node:
    """A node that stores what it is sent, up to where the connection breaks."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.stored: dict[bytes, pb.SubmitResponse] = {}
        self.breaks_after: int | None = None
        self.breaks_with: BaseException = DeliveryError("OUTCOME_UNKNOWN", "the connection broke")
        self.spooled_before: list[int] = []

    def try_another(self) -> None:
        """The other replica of this node is not drained."""
        self.breaks_after = None

    def submit_many(self, requests: Iterable[pb.SubmitRequest]) -> Iterator[DraftOutcome]:
        """The same key gives the same bulletin."""
        self.spooled_before.append(len(list(spooled(self.profile.spool, Instant(0)))))
        for count, request in enumerate(list(requests)):
            if self.breaks_after is not None and count >= self.breaks_after:
                raise self.breaks_with
            if "DEU" in request.to:
                yield DraftOutcome(
                    request.key, DeliveryError("UNKNOWN_MEMBER", "DEU is not known", hint="ask")
                )
                continue
            if "GBR" in request.to:
                full = DeliveryError("QUEUE_FULL", "5 wait for GBR", hint="status", retry_after=60)
                yield DraftOutcome(request.key, full)
                continue
            answer = pb.SubmitResponse(bulletin=len(self.stored).to_bytes(16, "big"), banner="BANNER")
            answer.pairs.append(pb.PairDecision(recipient="USA", word="queued"))
            if "KEN" in request.to:
                denied = pb.PortionDecision(outcome="deny", reasons=[pb.Reason(code="EXCEEDS_CEILING")])
                answer.pairs.append(
                    pb.PairDecision(recipient="KEN", word="withheld", portions=[denied, denied])
                )
            yield DraftOutcome(request.key, self.stored.setdefault(request.key, answer))


@pytest.fixture(name="node")
def _node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    profile = Profile(tmp_path / "m", "FRA", "m", "127.0.0.1:1", "", "one.fra.intelshare.internal")
    write_profile(profile, Credentials(b"c", b"a", b"k"))
    node = Node(profile)

    @contextmanager
    def connect(_: str | None) -> Iterator[Any]:
        yield node

    monkeypatch.setattr("intelshare.cli.shared.options.connect", connect)
    return node


def line_of(text: str, **changes: object) -> dict[str, object]:
    return LINE | {"text": text} | changes


def test_every_key_is_spooled_before_the_first_line_is_sent(node: Node, tmp_path: Path) -> None:
    assert run(["send", "--batch", written(tmp_path, line_of("one"), line_of("two"))]) == 0
    assert node.spooled_before == [2]


def test_one_line_of_json_for_each_bulletin(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, line_of("one"), line_of("two", to=["DEU"]), line_of("three"))
    assert run(["send", "--batch", path, "--json"]) == 5
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["schema"] for line in lines] == ["intelshare/batch-line/1"] * 3
    assert [line["line"] for line in lines] == [1, 2, 3]
    assert lines[1]["refused"] == {
        "code": "UNKNOWN_MEMBER",
        "message": "DEU is not known",
        "hint": "ask",
        "retry_after_seconds": None,
    }
    assert [lines[n]["stored"]["bulletin"] for n in (0, 2)] == [
        one.bulletin.hex() for one in node.stored.values()
    ]


def test_a_refused_line_that_is_corrected_is_sent_and_the_others_are_not_again(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, line_of("one"), line_of("two", to=["DEU"]), line_of("three"))
    assert run(["send", "--batch", path]) == 5
    shown = capsys.readouterr()
    assert "refused UNKNOWN_MEMBER: DEU is not known" in shown.out
    assert "line 2: ask" in shown.err
    written(tmp_path, line_of("one"), line_of("two"), line_of("three"))
    assert run(["send", "--batch", path]) == 0
    assert len(node.stored) == 3
    assert "2 of 3 had been stored by an earlier run" in capsys.readouterr().err
    assert run(["send", "--batch", path, "--again"]) == 0
    assert len(node.stored) == 6


def test_what_is_withheld_from_a_recipient_has_its_reason_beside_it(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["send", "--batch", written(tmp_path, line_of("one", to=["USA", "KEN"]))]) == 0
    assert "USA queued, KEN withheld (EXCEEDS_CEILING)" in capsys.readouterr().out


def test_lines_that_find_no_room_are_told_together_and_when_to_send_them_again(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, *(line_of(str(n), to=["GBR"]) for n in range(3)), line_of("other"))
    assert run(["send", "--batch", path]) == 5
    shown = capsys.readouterr()
    assert shown.out.count("refused QUEUE_FULL: 5 wait for GBR") == 3
    assert shown.err.count("send the same batch again in 60 s") == 1
    assert "3 of 4 found no room" in shown.err
    assert len(node.stored) == 1


def test_where_every_line_is_refused_it_failed(node: Node, tmp_path: Path) -> None:
    del node
    assert run(["send", "--batch", written(tmp_path, line_of("one", to=["DEU"]))]) == 1


@pytest.mark.parametrize(
    ("breaks", "code"), [(DeliveryError("OUTCOME_UNKNOWN", "x"), 11), (KeyboardInterrupt(), 130)]
)
def test_what_breaks_off_says_what_is_stored_and_the_same_command_completes_it(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], breaks: BaseException, code: int
) -> None:
    path = written(tmp_path, *(line_of(str(n)) for n in range(5)))
    node.breaks_after, node.breaks_with = 2, breaks
    assert run(["send", "--batch", path]) == code
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3, "the head of the table, and two bulletins"
    assert "2 of 5 bulletins are stored for certain" in shown.err
    assert f"run again: intelshare send --batch {path}" in shown.err
    node.breaks_after = None
    assert run(["send", "--batch", path]) == 0
    assert len(node.stored) == 5


@pytest.mark.parametrize("breaks_after", [0, 2])
def test_what_a_drained_replica_leaves_undone_another_one_does(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], breaks_after: int
) -> None:
    path = written(tmp_path, *(line_of(str(n)) for n in range(5)))
    node.breaks_after, node.breaks_with = breaks_after, DeliveryError("DRAINING", "it is drained")
    assert run(["send", "--batch", path]) == 1, "it is the only one"
    capsys.readouterr()
    node.profile = replace(node.profile, address="127.0.0.1:1,127.0.0.1:2")
    assert run(["send", "--batch", path]) == 0
    assert len(node.stored) == 5
    assert len(capsys.readouterr().out.splitlines()) == 6, "each bulletin once"


def test_an_error_after_lines_of_json_is_a_line_of_json_too(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.breaks_after = 1
    assert run(["send", "--batch", written(tmp_path, line_of("one"), line_of("two")), "--json"]) == 11
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["schema"] for line in lines] == ["intelshare/batch-line/1", "intelshare/error/1"]
    assert lines[1]["code"] == "OUTCOME_UNKNOWN"


def test_a_batch_may_come_on_standard_input(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = "".join(json.dumps(line_of(str(n))) + "\n" for n in range(2)).encode()
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert run(["send", "--batch", "-"]) == 0
    assert len(node.stored) == 2
    assert "2 of 2 had been stored by an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["report.txt"], ["--to", "USA"], ["--label", SHARED], ["--dry-run"], ["--key", "x"], ["--yes"]]
)
def test_no_other_option_goes_with_a_batch(
    node: Node, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["send", "--batch", written(tmp_path, LINE), *words]) == 2
    assert "does not go with --batch" in capsys.readouterr().err
    assert not node.stored


def test_without_a_batch_recipients_and_category_are_needed(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    del node
    for words, missing in ((["--category", "cyber"], "--to"), (["--to", "USA"], "--category")):
        assert run(["send", "report.txt", *words]) == 2
        assert f"Missing option '{missing}'" in capsys.readouterr().err
    assert run(["send", "report.txt", "--to", "USA", "--category", "cyber", "--again"]) == 2
