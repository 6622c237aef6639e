"""A node whose signing keys are in a token (SoftHSM 2), by the command line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.nodes import (
    PROGRAM,
    Done,
    found,
    intelshare,
    introduce,
    log_of,
    ok,
    running,
    wait_for_links,
    wait_until,
)
from e2e.test_backup import words_of
from intelshare.crypto.codec import decode
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import SUITES
from intelshare.vault import open_vault
from intelshare.vault.format import EntryKind
from processes import clean_environment, finished
from replicas_world import LABEL
from tokens import PIN, process_token

pytestmark = pytest.mark.timeout(180)


def send(folder: Path, title: str, wait: str = "accepted") -> None:
    words = ["--to", "USA", "--label", LABEL, "--category", "cyber", "--title", title]
    words += ["--wait", wait] if wait else []
    ok("send", "-", "--as", folder / "users" / "ana", *words, "--yes", stdin=title)


def health_of(folder: Path) -> Done:
    return intelshare("node", "health", "--folder", folder)


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Without the objects of the token, as if somebody had pulled it out."""
    tokens = Path(os.environ["SOFTHSM2_CONF"]).with_name("tokens")
    tokens.rename(tokens.with_name("pulled-out"))
    yield
    tokens.with_name("pulled-out").rename(tokens)


def test_a_node_signs_with_a_key_that_the_token_made_and_cannot_without_the_token(
    tmp_path: Path,
) -> None:
    place = process_token()
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    with running(usa):
        with running(fra):
            introduce(fra, usa)
            wait_for_links(fra)
        (fra / "token-pin").write_text(PIN + "\n")
        (fra / "token-pin").chmod(0o600)
        settings = fra / "node.toml"
        settings.write_text(
            settings.read_text()
            + f'\n[token]\nmodule = "{place.module}"\nlabel = "{place.token}"\npin_file = "token-pin"\n'
        )
        settings.chmod(0o600)
        with running(fra):
            wait_for_links(fra)
            ok("vault", "rotate", "signing", "--folder", fra)
            wait_until(lambda: in_token(fra), "the vault to hold half of a key")
            send(fra, "signed by both halves")
        with running(fra):  # and after a restart
            wait_for_links(fra)
            send(fra, "and after a restart")
            ok("audit", "verify", "--folder", fra)
            with away():
                send(fra, "while it is away", wait="")
                wait_until(lambda: "TOKEN_FAILED" in health_of(fra).out, "health to say so")
                assert health_of(fra).code != 0
            wait_until(lambda: health_of(fra).code == 0, "the node to notice that the token is back")
            wait_until(lambda: words_of(fra)["while it is away"] == "accepted", "what waited to leave")
        (fra / "token-pin").write_text("another pin\n")
        refused = finished([*PROGRAM, "node", "run", "--dev", "--folder", fra], env=clean_environment())
        assert "KEYSTORE_PASSWORD" in refused.err
        assert PIN not in log_of(fra).read_text() + refused.err


@pytest.mark.parametrize("suite", [pytest.param("1", marks=pytest.mark.soak), "2"])
def test_the_first_signing_key_of_a_new_member_was_never_outside_its_token(
    tmp_path: Path, suite: str
) -> None:
    place, pin, fra = process_token(), tmp_path / "pin", tmp_path / "fra"
    pin.touch(0o600)
    pin.write_text(PIN + "\n")
    words = ("init", "FRA", fra, "--dev", "--suite", suite, "--token", place.module, place.token)
    refused = intelshare(*words)
    assert "KEYSTORE_PASSWORD" in refused.err  # nobody is there to be asked for the PIN
    assert not fra.exists()
    ok(*words, "--token-pin-file", pin)
    assert kinds_of_signing_keys(fra) == {EntryKind.TOKEN}
    with running(fra):
        assert health_of(fra).code == 0


def kinds_of_signing_keys(folder: Path) -> set[EntryKind]:
    phrase = (folder / "passphrase").read_bytes().strip()
    vault = open_vault(folder / "vault" / "keys", phrase, suites=SUITES, random=bytes, allow_development=True)
    keys = [entry for entry in vault._entries if entry.kind in (EntryKind.KEY, EntryKind.TOKEN)]
    return {entry.kind for entry in keys if decode(KeyRecord, entry.public).use is KeyUse.SIGNING}


def in_token(folder: Path) -> bool:
    return EntryKind.TOKEN in kinds_of_signing_keys(folder)
