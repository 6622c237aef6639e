"""`audit` as auditors use it: heads, proofs and reports as files, checked where no node is."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

import c2sp
from e2e.nodes import found, intelshare, introduce, ok, running, wait_until
from intelshare.audit.exhibit import Exhibit
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Checkpoint, KeyUse, Kind, Trust
from intelshare.ids import Digest
from intelshare.trust import DirectoryDocument, write_member_file
from line_world import met, signed
from log_world import Logs

LABEL = "//FRA SECRET//REL TO FRA, USA"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    home = tmp_path_factory.mktemp("audit")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    with running(fra), running(usa):
        introduce(fra, usa)
        words = ("--as", fra / "users" / "ana", "--category", "cyber", "--label", LABEL, "--to", "USA")
        for text in ("one", "two"):
            ok("send", "-", *words, "--title", "Canary", "--wait", "accepted", stdin=text)
        yield fra, usa


def test_the_head_shows_who_has_seen_the_log(pair: tuple[Path, Path]) -> None:
    fra, _ = pair

    def seen() -> bool:
        head = ok("audit", "head", "--folder", fra, "--json").json
        sizes = [one["size"] for one in head["witnesses"] if one["member"] == "USA"]
        states = [one["state"] for one in head["held"]]
        return bool(sizes) and sizes[0] == head["size"] and states == ["proved"]

    wait_until(seen, "USA to have seen FRA's log")
    shown = ok("audit", "head", "--folder", fra).out
    assert "checkpoint of" in shown
    assert "USA" in shown
    # An auditor on another machine has a profile and no data folder.
    assert ok("audit", "head", "--as", fra / "users" / "operator").out == shown
    assert intelshare("audit", "head").code == 2


def test_the_log_is_followed_cosigned_and_proved_with_the_tools_of_others(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    fra, usa = pair
    told = ok("audit", "export", "--tlog", tmp_path / "log", "--folder", fra, "--json").json
    checkpoint = tmp_path / "log" / "checkpoint"
    keys = [c2sp.read_vkey(told["vkey"])]

    def cosigned() -> bool:
        return intelshare("audit", "cosign", checkpoint, "--folder", usa, "--out", checkpoint).code == 0

    wait_until(cosigned, "USA to have seen that much of the log")
    directory = json.loads((usa.parent / "usa.member").read_text())["directory"]
    (note_key,) = [
        key
        for key in decode(DirectoryDocument, decode(Trust, b64decode(directory)).document).keys
        if key.use is KeyUse.NOTE
    ]
    witness = note_key.node.removeprefix("intelshare://")
    material = b"\x04" + note_key.public[32:]
    identity = sha256(f"{witness}\n".encode() + material).hexdigest()[:8]
    keys.append(c2sp.read_vkey(f"{witness}+{identity}+{b64encode(material).decode()}"))
    head, signed, entries = c2sp.follow(lambda name: (tmp_path / "log" / name).read_bytes(), keys)
    assert (head.origin, str(head.size)) == (told["origin"], told["size"])
    assert signed[head.origin] is None
    assert signed[witness] is not None

    members = [str(word) for m in ("fra", "usa") for word in ("--member", fra.parent / f"{m}.member")]
    judged = ok("verify", checkpoint, *members, "--json").json
    assert (judged["size"], [one["member"] for one in judged["witnesses"]]) == (str(head.size), ["USA"])
    assert intelshare("verify", checkpoint, *members[2:]).code == 7

    words = ("audit", "prove", "2", "--tlog", "--folder", fra, "--checkpoint", checkpoint)
    proof = ok(*words).out
    index, extra, _, included = c2sp.check_proof(proof, keys)
    assert index == 2
    salted = spelled_entry(extra)
    assert salted == entries[2]
    included(c2sp.leaf(salted))
    with pytest.raises(c2sp.RefusedError):
        included(c2sp.leaf(entries[1]))

    # What is no note, or too long for one, is said so wherever a note is read.
    bad = tmp_path / "bad"
    for content, code in ((b"\xff\xfe", "INPUT_INVALID"), (b"x\n" * 40_000, "TOO_LARGE")):
        bad.write_bytes(content)
        for words in (
            ("audit", "cosign", bad, "--folder", usa),
            ("audit", "prove", "2", "--tlog", "--folder", fra, "--checkpoint", bad),
        ):
            refused = intelshare(*words)
            assert (refused.code, code in refused.err) == (2, True), refused

    # Whoever changed the node's own line is not served on: it is written anew.
    genuine = checkpoint.read_text()
    mine = next(line for line in genuine.splitlines() if told["origin"] + " " in line)
    spoiled = genuine.replace(mine, mine[:-6] + ("AAAAA=" if mine[-6:] != "AAAAA=" else "BBBBB="))
    checkpoint.write_text(spoiled)
    ok("audit", "export", "--tlog", tmp_path / "log", "--folder", fra)
    assert mine in checkpoint.read_text()
    checkpoint.write_text(genuine)

    # The folder is exported into again: grown, and the older files are kept as they were.
    ok("user", "add", "one-more", "--folder", fra, "--role", "analyst")
    again = ok("audit", "export", "--tlog", tmp_path / "log", "--folder", fra, "--json").json
    assert int(again["size"]) > int(told["size"])
    c2sp.follow(lambda name: (tmp_path / "log" / name).read_bytes(), keys)
    other = intelshare("audit", "export", "--tlog", tmp_path / "log", "--folder", usa)
    assert (other.code, "LOG_INCONSISTENT" in other.err) == (7, True)


def spelled_entry(extra: bytes) -> bytes:
    """docs/format.md, "Log": PAE over type, time, salt and record."""
    made = b"intelshare/v1" + (5).to_bytes(8, "big")
    for part in (b"log-entry", extra[:1], extra[1:9], extra[9:41], extra[41:]):
        made += len(part).to_bytes(8, "big") + part
    return sha256(made).digest()


def test_a_proof_is_a_file_that_is_checked_offline_and_a_changed_one_ends_with_7(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    fra, usa = pair
    bulletin = ok("outbox", "--as", fra / "users" / "ana", "--json").json["entries"][0]["bulletin"]
    file = tmp_path / "proof.json"
    ok("audit", "prove", "--bulletin", bulletin[:8], "--folder", fra, "--out", file)
    member = fra.parent / "fra.member"
    own = ("--member", member, "--member", usa.parent / "usa.member")
    checked = ok("audit", "check-proof", file, *own, "--json").json
    assert checked["confirmed"] is True
    assert [entry["type"] for entry in checked["entries"]] == ["SUBMIT", "DECISION", "HAND_OVER", "RECEIPT"]
    assert checked["fingerprint"] == ok("member", "fingerprint", "--folder", fra).out.strip()
    assert "Canary" not in file.read_text()
    assert ok("audit", "check-proof", file, *own, "--root", checked["root"]).code == 0
    assert intelshare("audit", "check-proof", file, *own, "--root", "00" * 32).code == 7
    other = intelshare("audit", "check-proof", file, "--member", usa.parent / "usa.member")
    assert other.code == 5
    assert "the fingerprint of FRA is right" in other.err
    assert "NOT CONFIRMED" in other.out

    given = json.loads(file.read_text())
    given["entries"][1]["time"] += 1
    file.write_text(json.dumps(given))
    failed = intelshare("audit", "check-proof", file)
    assert failed.code == 7
    assert "LOG_INCONSISTENT" in failed.err

    ok("audit", "prove", "0", "--folder", fra, "--out", file)
    assert ok("audit", "check-proof", file, *own, "--json").json["entries"][0]["type"] == "START"
    assert intelshare("audit", "prove", "99999", "--folder", fra).code == 8
    assert intelshare("audit", "prove", "--folder", fra).code == 2


def test_reports_of_both_sides_are_laid_side_by_side(pair: tuple[Path, Path], tmp_path: Path) -> None:
    fra, usa = pair
    files = []
    for folder in (fra, usa):
        text = ok("audit", "report", "--folder", folder, "--format", "json").out
        assert "Canary" not in text
        files.append(tmp_path / f"{folder.name}.json")
        files[-1].write_text(text)
    agreed = ok("audit", "reconcile", *files)
    assert "FRA says it sent 2 to USA, USA says it accepted 2" in agreed.out
    theirs = json.loads(files[1].read_text())
    theirs["releases"].pop()
    files[1].write_text(json.dumps(theirs))
    differs = intelshare("audit", "reconcile", *files)
    assert differs.code == 1
    assert "FRA says it sent 2 to USA, USA says it accepted 1" in differs.out
    assert "USA knows of none" in differs.out
    shown = ok("audit", "report", "--folder", fra, "--treaty", "gsa-fra-usa").out
    assert "art. 4" in shown
    markdown = ok("audit", "report", "--folder", fra, "--format", "markdown").out
    assert "| FRA | USA | gsa-fra-usa | art. 4 | cyber |" in markdown
    assert ok("audit", "report", "--folder", fra, "--format", "csv").out.startswith("shared,from,to,treaty")


def test_nothing_contradicts_itself_and_an_unknown_evidence_is_not_found(pair: tuple[Path, Path]) -> None:
    fra, _ = pair
    assert ok("audit", "evidence", "--folder", fra, "--json").json["alarms"] == []
    assert intelshare("audit", "export", "00112233", "--folder", fra).code == 8
    assert "alarm" not in ok("status", "--as", fra / "users" / "operator").out


def test_a_release_is_exported_by_both_sides_and_verified_without_a_node(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    fra, usa = pair
    analyst, file = fra / "users" / "ana", tmp_path / "release.json"
    bulletin = ok("outbox", "--as", analyst, "--json").json["entries"][0]["bulletin"]
    own = ("--member", fra.parent / "fra.member", "--member", usa.parent / "usa.member")
    ok("export", bulletin[:8], "--as", analyst, "--content", "--out", file)
    found = ok("verify", file, *own, "--json").json
    assert (found["sender"], found["recipient"], found["outcome"]) == ("FRA", "USA", "accepted")
    assert found["confirmed"]
    assert all(step["established"] for step in found["steps"])
    assert "Canary" in found["portions"][0]["content"]
    shown = ok("verify", file, *own).out
    assert "established      USA accepted it" in shown
    assert intelshare("verify", file).code == 5

    ok("export", bulletin[:8], "--as", fra / "users" / "operator", "--out", file)
    assert ok("verify", file, *own, "--json").json["portions"] == []
    content = intelshare("export", bulletin[:8], "--as", fra / "users" / "operator", "--content")
    assert (content.code, "NOT_AUTHORISED" in content.err) == (4, True)

    ok("export", bulletin[:8], "--as", analyst, "--content", "--out", file)
    told = json.loads(file.read_text())
    told["portions"][0]["secret"] = "00" * 32
    file.write_text(json.dumps(told))
    failed = intelshare("verify", file, *own)
    assert failed.code == 7
    assert "COMMITMENT_MISMATCH" in failed.err
    ok("export", bulletin[:8], "--as", analyst, "--out", file)
    assert "Canary" not in file.read_text()
    file.write_text("{}")
    assert intelshare("verify", file).code == 2


def test_evidence_of_a_fork_is_checked_offline_and_ends_with_7_where_it_proves_nothing(
    tmp_path: Path,
) -> None:
    logs = Logs(met(("FRA", "USA")))
    logs.show("USA", "FRA")
    usa = logs.members["USA"]
    other = Checkpoint(usa.node.uri, usa.node.incarnation, logs.held("FRA", "USA")[0], Digest(bytes(32)), ())
    logs.bring("USA", "FRA", signed(usa, Kind.CHECKPOINT, other, at=logs.now))
    (row,) = logs.alarms("FRA")
    file, member = tmp_path / "evidence.json", tmp_path / "usa.member"
    file.write_bytes(logs.export("FRA", row))
    trust = logs.members["FRA"].node.trust.members["USA"]
    member.write_text(write_member_file(trust))
    checked = ok("audit", "check-evidence", file, "--member", member, "--json").json
    assert (checked["member"], checked["code"], checked["fingerprint"]) == (
        "USA",
        "LOG_FORK",
        trust.fingerprint,
    )
    alone = intelshare("audit", "check-evidence", file)
    assert "proved: USA" in alone.out
    assert alone.code == 5
    exhibit = decode(Exhibit, row.exhibit)
    cut = row._replace(exhibit=encode(Exhibit, replace(exhibit, statements=exhibit.statements[:1])))
    file.write_bytes(logs.export("FRA", cut))
    nothing = intelshare("audit", "check-evidence", file)
    assert nothing.code == 7
    assert "EVIDENCE_INCONCLUSIVE" in nothing.err


def test_an_expert_follows_decision_receipt_and_recall_with_files_alone(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each entry as a proof of our own and as a tlog-proof, at both sides, judged without a node.

    The last one here: it recalls what the others would count.
    """
    fra, usa = pair
    words = ("--as", fra / "users" / "ana", "--category", "cyber", "--label", LABEL, "--to", "USA")
    bulletin = ok("send", "-", *words, "--wait", "accepted", "--json", stdin="three").json["bulletin"]
    ok("recall", bulletin, "--as", fra / "users" / "ana", "--reason", "a mistake", "--yes")

    def destroyed() -> bool:
        sent = ok("outbox", *words[:2], "--json").json["entries"]
        return [one["pairs"][0]["word"] for one in sent if one["bulletin"] == bulletin] == ["destroyed"]

    wait_until(destroyed, "USA to destroy it")
    members = [str(word) for m in ("fra", "usa") for word in ("--member", fra.parent / f"{m}.member")]
    told: dict[str, list[str]] = {}
    for folder in (fra, usa):
        file = tmp_path / f"{folder.name}.json"
        ok("audit", "prove", "--bulletin", bulletin, "--folder", folder, "--out", file)
        entries = ok("verify", file, *members, "--json").json["entries"]
        told[folder.name] = [entry["type"] for entry in entries]
        shown = ok("verify", file, *members).out
        for entry in entries:
            assert f"entry {entry['index']} of log {entry['log']}  {entry['type']}" in shown
            proof = tmp_path / "entry.tlog-proof"
            ok("audit", "prove", str(entry["index"]), "--tlog", "--folder", folder, "--out", proof)
            alone = ok("verify", proof, *members, "--json").json["entry"]
            assert (alone["index"], alone["type"]) == (entry["index"], entry["type"])
            assert f"entry {entry['index']}" in ok("verify", proof, *members).out
            if entry["type"] == "DECISION":
                # A tlog-proof holds hashes where the file of `audit prove` opens what was granted.
                assert "outcome allow" in shown
                assert "gsa-fra-usa" in shown
                assert b"gsa-fra-usa" not in b64decode(
                    proof.read_text().split("\n")[1].removeprefix("extra ")
                )
                assert alone["says"]["recipient"] == "USA"
            following = int(entry["index"]) + 1
            swapped = proof.read_text().replace(f"index {entry['index']}\n", f"index {following}\n")
            proof.write_text(swapped)
            assert intelshare("verify", proof, *members).code == 7
    assert {"SUBMIT", "DECISION", "HAND_OVER", "RECEIPT", "RECALL"} <= set(told["fra"]), told
    assert {"RECEIVED", "DESTROYED"} <= set(told["usa"]), told

    receipts = ok("receipts", bulletin, *words[:2], "--json").json["receipts"]
    for one in receipts:
        file = tmp_path / "receipt.json"
        ok("audit", "prove", "--receipt", one["digest"], "--folder", fra, "--out", file)
        found = ok("verify", file, *members, "--json").json["entries"]
        assert [entry["type"] for entry in found] == ["RECEIPT"]
        assert found[0]["says"]["leaf"] == one["digest"]

    release = tmp_path / "release.json"
    ok("export", bulletin, *words[:2], "--out", release)
    shown = ok("verify", release, *members).out
    for line in ("FRA recalled it", "USA accepted it", "USA destroyed it (RECALLED)"):
        assert f"established      {line}" in shown
    unread = intelshare("export", bulletin, "--as", usa / "users" / "ana")
    assert unread.code == 8, "nobody at USA had read it"
    ok("export", bulletin, "--as", usa / "users" / "operator", "--out", release)
    shown = ok("verify", release, *members).out
    assert "USA logged that the keys are destroyed (RECALLED)" in shown
