"""Files that nodes of version 1 made are read for ever; the vault also by the words of docs/format.md."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import pytest
from make_files import FOLDER, PASSPHRASE
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as open_sealed
from nacl.pwhash import argon2id
from test_statement_vectors import spelled_pae

import format_page as page
from export_world import SHOWN
from intelshare.errors import IntelshareError
from intelshare.trust import read_member_file
from intelshare.vault.format import EntryKind, open_bytes
from intelshare.verifier import check_evidence, check_proof, check_release, read_given

MEMBER, PROOF, EVIDENCE = (
    (FOLDER / f"{name}.json").read_bytes() for name in ("fra.member", "proof", "evidence")
)
VAULT = (FOLDER / "vault.bin").read_bytes()


def test_the_member_file_is_of_fra_and_its_fingerprint_is_computed() -> None:
    told = json.loads(MEMBER)
    read = read_member_file(MEMBER, "fra.member.json")
    assert (read.member, read.fingerprint) == ("FRA", told["fingerprint"])
    root = page.read("Trust", b64decode(told["roots"][0]))
    assert page.read("RootDocument", bytes.fromhex(root["document"]))["member"] == told["member"]


def test_the_proof_shows_a_submission_and_its_decision_and_who_has_seen_that_log() -> None:
    found = check_proof(PROOF, "proof.json", [read_member_file(MEMBER, "fra.member.json")])
    assert (found.member, [entry.type for entry in found.entries]) == ("FRA", ["SUBMIT", "DECISION"])
    assert [entry.says["md"] for entry in found.entries] == [found.entries[0].says["md"]] * 2
    assert [witness.member for witness in found.witnesses] == ["USA"]
    assert len({entry.incarnation for entry in found.entries} | {found.checkpoint.incarnation}) == 2
    assert found.fingerprint == json.loads(MEMBER)["fingerprint"]


def test_the_evidence_convicts_fra_of_a_rewritten_log() -> None:
    found = check_evidence(EVIDENCE, "evidence.json")
    assert (found.member, found.code, [kind for kind, _ in found.statements]) == (
        "FRA", "LOG_INCONSISTENT", ["CHECKPOINT", "CHECKPOINT"],
    )  # fmt: skip
    assert found.what.startswith("history rewritten at entry ")


def test_the_release_shows_who_gave_what_to_whom_and_that_it_was_accepted() -> None:
    given = [
        read_given((FOLDER / f"release.{code}.member.json").read_bytes(), code) for code in ("fra", "usa")
    ]
    found = check_release((FOLDER / "release.json").read_bytes(), "release.json", given)
    assert (found.sender, found.recipient, found.outcome, found.confirmed) == ("FRA", "USA", "accepted", True)
    assert all(step.established for step in found.steps)
    assert [portion.content for portion in found.portions] == [SHOWN.encode()]


REFUSED = json.loads((FOLDER / "refused.json").read_text("utf-8"))


@pytest.mark.parametrize("case", REFUSED["cases"], ids=lambda case: case["error"])
def test_a_forged_file_is_refused(case: dict[str, Any]) -> None:
    given = [read_given(json.dumps(REFUSED["members"][name]).encode(), name) for name in case["given"]]
    checks = {"log-proof": check_proof, "evidence": check_evidence, "release-proof": check_release}
    check: Any = checks[case["file"]["schema"].split("/")[1]]
    with pytest.raises(IntelshareError) as caught:
        check(json.dumps(case["file"]).encode(), case["name"], given, case["fingerprints"])
    assert caught.value.code == case["error"]


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(node, dict | list):
        for step, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(inner, (*path, step))
    else:
        yield path, node


EYE = {"says", "holder", "first_seen", "what"}
"""For the reader's eye, as docs/format.md says: never believed, so never checked."""


@pytest.mark.parametrize(
    ("text", "check"), [(PROOF, check_proof), (EVIDENCE, check_evidence)], ids=["proof", "evidence"]
)
def test_nothing_that_counts_in_a_file_can_be_changed(text: bytes, check: Any) -> None:
    whole = json.loads(text)
    accused = {"code", "accused"}  # computed anew
    believed = [path for path, _ in leaves(whole) if not {*path} & {*EYE, *accused} and "USA" not in path]
    assert {str(path[0]) for path in believed} >= {"exhibit", "documents"} or len(believed) > 20
    for path in believed:
        changed = json.loads(text)
        at = changed
        for step in path[:-1]:
            at = at[step]
        value = at[path[-1]]
        if isinstance(value, int):
            at[path[-1]] = value + 1
        elif len(value) > 64 and not set(value) <= set("0123456789abcdef"):
            raw = bytearray(b64decode(value))
            raw[len(raw) // 2] ^= 1
            at[path[-1]] = b64encode(bytes(raw)).decode()
        else:
            at[path[-1]] = ("1" if value[0] != "1" else "2") + value[1:]
        with pytest.raises(IntelshareError):
            check(json.dumps(changed).encode(), "changed")


def test_no_byte_of_the_exhibit_can_be_changed() -> None:
    """But for the name of the log in the ask, which is not signed: roots and incarnations say which log."""
    whole = json.loads(EVIDENCE)
    raw = b64decode(whole["exhibit"])
    origin = page.read("Exhibit", raw)["paths"][0]["ask"]["origin"].encode()
    named = range(raw.rindex(origin), raw.rindex(origin) + len(origin))
    for place in [*range(0, len(raw), 97), *range(len(raw) - 230, len(raw))]:
        if place in named:
            continue
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(IntelshareError):
            check_evidence(json.dumps({**whole, "exhibit": b64encode(changed).decode()}).encode(), "changed")


def test_the_vault_opens_and_holds_all_kinds() -> None:
    opened = open_bytes(VAULT, PASSPHRASE.encode(), allow_development=True)
    assert [entry.kind for _, entry in opened.entries] == list(EntryKind)


def test_the_vault_by_the_words_of_the_page() -> None:
    body = VAULT[:-32]
    assert sha256(body).digest() == VAULT[-32:]
    told = page.read("body", body)
    header = told["header"]
    assert (bytes.fromhex(header["magic"]), header["version"]) == (b"intelshare vault", 1)
    assert header["state"] == 1
    salt, key = bytes.fromhex(header["salt"]), b""
    key = argon2id.kdf(
        32, PASSPHRASE.encode(), salt, opslimit=header["passes"], memlimit=header["memory"] * 1024
    )

    def opened(sealed: str, row: bytes, slot: int) -> bytes:
        raw = bytes.fromhex(sealed)
        bound = spelled_pae("rest", b"vault", row, slot.to_bytes(4, "big"))
        return open_sealed(raw[24:], bound, raw[:24], key)

    entries = [opened(one["sealed"], bytes.fromhex(one["id"]), 1) for one in told["entries"]]
    kinds = [page.read("entry", entry)["kind"] for entry in entries]
    assert kinds == ["KEY", "CERTIFIED", "STORAGE", "RETIRED", "TOKEN"]
    head = body[: 16 + 2 + 4 + 4 + 16 + 8]
    listed = body[len(head) + 2 + len(bytes.fromhex(told["seal"])) :]
    assert opened(told["seal"], head, 0) == sha256(listed).digest()
