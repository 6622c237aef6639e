"""``rfi decline`` sends a text of its own: it stays off the disk, and a lost answer can be resolved."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from intelshare.cli import run
from intelshare.cli.analyst.wait_for_pairs import wait_for_pairs
from intelshare.cli.shared.output import Out
from intelshare.client import Client, Credentials, Profile, content_digest, write_profile
from intelshare.errors import DeliveryError
from intelshare.wire.v1 import user_pb2 as pb

REQUEST = bytes.fromhex("3f9a1c22" * 4)

DAMAGED = "a record of request does not match its digest: 00"


class Lost:
    """A node whose answers to what is sent are lost."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.sent: list[pb.SubmitRequest] = []

    def requests(self) -> pb.RequestsResponse:
        """One open request of USA, and one that is damaged."""
        entry = pb.RequestEntry(bulletin=REQUEST, member="USA", own=False, state="open", category="cyber")
        return pb.RequestsResponse(entries=[entry], damaged=[DAMAGED])

    def receipts(self, bulletin: str) -> pb.ReceiptsResponse:
        """One that holds, and one that is damaged."""
        signed = pb.SignedReceipt(recipient="USA", status="ACCEPTED")
        return pb.ReceiptsResponse(bulletin=bytes.fromhex(bulletin), receipts=[signed], damaged=[DAMAGED])

    def outbox(self, bulletin: str) -> pb.OutboxResponse:
        """One that USA has accepted, and whose other recipient is damaged."""
        pair = pb.OutboxPair(recipient="USA", word="accepted")
        entry = pb.OutboxEntry(bulletin=bytes.fromhex(bulletin), pairs=[pair])
        return pb.OutboxResponse(entries=[entry], damaged=[DAMAGED])

    def submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """Keeps it, and loses the answer."""
        self.sent.append(request)
        raise DeliveryError("OUTCOME_UNKNOWN", "the answer was lost")


@pytest.fixture(name="lost")
def _lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lost:
    profile = Profile(
        tmp_path / "m.durand", "FRA", "m.durand", "127.0.0.1:1", "", "one.fra.intelshare.internal"
    )
    write_profile(profile, Credentials(b"c", b"a", b"k"))
    client = Lost(profile)

    @contextmanager
    def connect(_: str | None) -> Iterator[Any]:
        yield client

    monkeypatch.setattr("intelshare.cli.shared.options.connect", connect)
    monkeypatch.setattr("tempfile.mkdtemp", None)
    return client


def test_a_lost_decline_is_resolved_by_the_command_that_is_printed(
    lost: Lost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "we don't know; $HOME is not touched"
    words = ["rfi", "decline", "3f9a1c22", "--reason", reason, "--label", "//FRA NP", "--as", "x"]
    assert run(words) == 11
    hint = capsys.readouterr().err.partition("hint: run: ")[2].strip()
    left, _, right = hint.partition(" | ")
    printed = shlex.split(left)
    assert printed == ["printf", "%s", reason]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(reason.encode())))
    assert run(shlex.split(right)[1:]) == 11
    first, again = lost.sent
    assert first.key == again.key
    assert content_digest(bytes(32), first) == content_digest(bytes(32), again)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["rfi", "list"], 0),
        (["rfi", "list", "--open", "--json"], 0),
        (["rfi", "decline", "ffff0000"], 8),
        (["receipts", REQUEST.hex()], 7),
        (["outbox", "show", REQUEST.hex()], 0),
        (["outbox", "show", REQUEST.hex(), "--json"], 0),
    ],
)
@pytest.mark.usefixtures("lost")
def test_what_is_left_out_is_named(capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> None:
    assert run([*words, "--as", "x"]) == code
    said = capsys.readouterr()
    assert DAMAGED in said.err
    assert "--json" not in words or json.loads(said.out)["damaged"] == [DAMAGED]


def test_p13_a_recipient_whose_record_is_damaged_has_not_accepted_yet(lost: Lost) -> None:
    with pytest.raises(DeliveryError, match="have accepted it: DEU damaged") as missed:
        wait_for_pairs(
            cast("Client", lost),
            REQUEST,
            ["DEU", "USA"],
            lambda pair: pair.word != "accepted",
            done="have accepted it",
            timeout=0,
            out=Out(quiet=True),
        )
    assert missed.value.code == "TIMED_OUT"
