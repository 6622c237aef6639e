"""The log for tools of others: read by ``c2sp``, which was written from the texts at c2sp.org alone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

import c2sp
from builders import Member, seeded
from intelshare.audit import entry_hash
from intelshare.audit.notes import Head, KeyType, NoteKeyName, read_head, read_note, write_proof
from intelshare.audit.proofs import root_over
from intelshare.audit.tiles import files_of, tile_path
from intelshare.broker.kernel.tables import CHECKPOINT
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.tlog import LogNote, cosign, entry_hashes, log_note, prove_note
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, NoteKey, Signer, load_note_key, load_signer
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, Incarnation, MemberCode, NodeUri
from intelshare.instant import SECOND
from intelshare.trust import (
    Founding,
    Revocation,
    Revoked,
    Why,
    create_member,
    new_key,
    renew_directory,
    write_member_file,
)
from intelshare.verifier import GivenMember, check_note, is_note, read_given
from line_world import met
from log_world import Logs, rewrite

SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


class Tools:
    """Three members whose directories name note keys, and whose logs are seen by each other."""

    def __init__(self) -> None:
        self.logs = Logs(met())
        self.members: dict[str, Member] = self.logs.members
        self.directories: dict[str, Signer] = {}
        self.keys = {code: self._published(code) for code in self.members}

    def _published(self, code: str) -> NoteKey:
        at, node = self.logs.tick(), self.members[code].node
        made = new_key(SUITE_1, KeyUse.NOTE, node.member, at, seeded(f"note {code}"), node=node.uri)
        founded = create_member(Founding(node.member, code.title(), "one"), at, seeded(code))
        key = next(key for key in founded.keys if key.record.use is KeyUse.DIRECTORY)
        held = node.trust.members[node.member].directory
        assert held is not None
        signer = load_signer(SUITE_1, key.record, key.key_id, key.secret)
        # A founding is a function of its seed but for its time: the key is the one that the root names.
        (named,) = node.trust.members[node.member].root.directory
        signer = self.directories[code] = replace(signer, key_id=key_id(named))
        self._adopt(renew_directory(held, signer, at, add_keys=[made.record]))
        return load_note_key(made.record, made.secret)

    def revoke(self, code: str) -> None:
        """A member revokes its note key, and makes no other."""
        held = self.members[code].node.trust.members[MemberCode(code)].directory
        assert held is not None
        row = Revocation(Revoked.KEY, key_id(self.keys[code].record), Why.COMPROMISED, self.logs.tick())
        self._adopt(renew_directory(held, self.directories[code], self.logs.now, revoke=[row]))

    def _adopt(self, signed: Trust) -> None:
        for member in self.members.values():
            view = member.node.trust.with_document(signed, self.logs.now).view
            member.node = replace(member.node, trust=view)

    def note(self, code: str) -> LogNote:
        member = self.members[code]
        return log_note(member.node, member.store, member.node.incarnation, self.keys[code])

    def cosigned(self, by: str, raw: str) -> str:
        member = self.members[by]
        return cosign(member.node, member.store, raw, self.keys[by], self.logs.now)

    def vkeys(self, code: str, *witnesses: str) -> list[c2sp.Vkey]:
        names = [self.note(code).vkey]
        for one in witnesses:
            node = self.members[one].node
            public = self.keys[one].record.public
            names.append(NoteKeyName(node.uri[13:], KeyType.COSIGNATURE, public[32:]).vkey)
        return [c2sp.read_vkey(name) for name in names]


@pytest.fixture
def tools() -> Tools:
    return Tools()


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as caught:
        act()
    return caught.value.code


def test_the_example_of_the_specification_is_read_alike() -> None:
    key = c2sp.read_vkey(SPEC_VKEY)
    assert c2sp.open_note(SPEC_NOTE.encode(), [key])[1] == {"example.com/foo": None}
    ours = NoteKeyName(key.name, KeyType.LOG, key.public)
    assert ours.vkey == SPEC_VKEY
    note = read_note(SPEC_NOTE)
    assert (note.text, len(note.lines)) == ("This is an example message.\n", 1)
    assert ours.line(note.signature_of(ours) or b"") == SPEC_NOTE.split("\n\n")[1]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 513, 65_536, 70_000])
def test_the_files_of_a_log_are_those_of_the_specification(size: int) -> None:
    entries = [number.to_bytes(32, "big") for number in range(size)]
    files = dict(files_of(entries))
    assert sorted(files) == sorted(c2sp.names(size))
    key = c2sp.read_vkey(SPEC_VKEY)
    head = Head(NodeUri("intelshare://x/node/y"), Incarnation(7), size, Digest(root_over(entries)))

    def fetch(name: str) -> bytes:
        return files[name]

    assert c2sp.checkpoint(head.text) == ("x/node/y/0000000000000007", size, head.root)
    with pytest.raises(KeyError):
        c2sp.follow(fetch, [key])
    if size == 70_000:
        # The example of tlog-tiles.
        assert len([name for name in files if name.startswith("tile/0/") and ".p/" not in name]) == 273
        assert {"tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} <= set(files)
    assert tile_path(3, 1234067) == "tile/3/x001/x234/067"


def served(tools: Tools, code: str, note: str) -> dict[str, bytes]:
    """The files of a member's log."""
    member, head = tools.members[code], tools.note(code).head
    hashes = entry_hashes(member.node, member.store, head, 0)
    entries = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    return {"checkpoint": note.encode(), **dict(files_of(entries))}


def test_a_monitor_follows_a_log_with_a_cosignature_and_refuses_every_changed_byte(tools: Tools) -> None:
    tools.logs.act("FRA", 3)
    assert tools.logs.show("FRA") == ["", ""]
    raw = tools.cosigned("USA", tools.note("FRA").note)
    raw = tools.cosigned("KEN", raw)
    assert tools.cosigned("USA", raw) == raw, "once is enough, and the same bytes again"
    keys = tools.vkeys("FRA", "USA", "KEN")
    files = served(tools, "FRA", raw)
    head, signed, entries = c2sp.follow(files.__getitem__, keys)
    fra = tools.members["FRA"].node
    assert head.origin == f"fra.intelshare.internal/node/one/{fra.incarnation:016x}"
    assert [len(entry) for entry in entries] == [32] * head.size, "hashes, and nothing else"
    (seen,) = tools.members["USA"].store.find(CHECKPOINT, "key", fra.uri)
    assert signed == {
        head.origin: None,
        "usa.intelshare.internal/node/one": seen.at // SECOND,
        "ken.intelshare.internal/node/one": signed["ken.intelshare.internal/node/one"],
    }
    for name, content in files.items():
        for at in range(0, len(content), 7):
            spoilt = bytearray(content)
            spoilt[at] ^= 1
            try:
                changed = c2sp.follow({**files, name: bytes(spoilt)}.__getitem__, keys)
            except (c2sp.RefusedError, ValueError, KeyError):
                continue
            # A bit of a signature line's name or id makes it the line of somebody unknown.
            assert name == "checkpoint"
            assert changed[0] == head
            assert len(changed[1]) < 3


def test_a_grown_log_is_consistent_with_what_was_written_before(tools: Tools) -> None:
    before, older = tools.note("FRA") if tools.logs.show("FRA") else None, served(tools, "FRA", "")
    assert before is not None
    tools.logs.act("FRA", 5)
    tools.logs.show("FRA")
    after, newer = tools.note("FRA"), served(tools, "FRA", "")
    assert after.head.size == before.head.size + 5
    bundle = next(name for name in older if name.startswith("tile/entries/"))
    longer = next(name for name in newer if name.startswith("tile/entries/"))
    assert newer[longer].startswith(older[bundle])


def test_a_tlog_proof_opens_one_entry(tools: Tools) -> None:
    tools.logs.act("FRA", 3)
    tools.logs.show("FRA")
    fra, key = tools.members["FRA"], tools.keys["FRA"]
    found = prove_note(fra.node, fra.store, fra.node.incarnation, 2, 0, key)
    text = write_proof(2, found.proof, found.log.note, found.preimage)
    index, extra, head, included = c2sp.check_proof(text, tools.vkeys("FRA"))
    assert (index, head.size) == (2, found.log.head.size)
    entry = entry_hash(extra[0], int.from_bytes(extra[1:9], "big"), extra[9:41], extra[41:])  # type: ignore[arg-type]
    included(c2sp.leaf(entry))
    for at in range(len(extra)):
        told = bytearray(extra)
        told[at] ^= 1
        other = entry_hash(told[0], int.from_bytes(told[1:9], "big"), bytes(told[9:41]), bytes(told[41:]))  # type: ignore[arg-type]
        with pytest.raises(c2sp.RefusedError):
            included(c2sp.leaf(other))
    assert code_of(lambda: prove_note(fra.node, fra.store, fra.node.incarnation, 99, 0, key)) == "NOT_FOUND"
    earlier = prove_note(fra.node, fra.store, fra.node.incarnation, 2, 3, key)
    assert len(earlier.proof) < len(found.proof)


def test_a_witness_signs_what_was_proved_to_it_and_nothing_else(tools: Tools) -> None:
    tools.logs.act("FRA", 2)
    tools.logs.show("FRA", "USA")
    note = tools.note("FRA").note
    assert code_of(lambda: tools.cosigned("KEN", note)) == "NOT_FOUND", "not shown to it"
    assert code_of(lambda: tools.cosigned("FRA", note)) == "NOT_AUTHORISED", "the own log"
    assert code_of(lambda: tools.cosigned("USA", note.replace("fra.", "deu.", 1))) == "SIGNER_UNKNOWN"
    text = note.split("\n\n")[0]
    assert code_of(lambda: tools.cosigned("USA", f"{text}\n\n— x/y AAAAAAAA\n")) == "SIGNER_UNKNOWN"
    head = read_head(read_note(note).text)
    longer = f"{Head(head.node, head.incarnation, head.size + 1, head.root).text}\n" + note.split("\n\n")[1]
    assert code_of(lambda: tools.cosigned("USA", longer)) == "SIGNATURE_INVALID"
    name = NoteKeyName(head.origin, KeyType.LOG, tools.keys["FRA"].record.public[:32])
    for changed, code in (
        (replace(head, size=head.size + 1), "NOT_FOUND"),
        (replace(head, incarnation=Incarnation(5)), "NOT_FOUND"),
        (replace(head, root=Digest(bytes(32))), "LOG_INCONSISTENT"),
    ):
        public = replace(name, name=changed.origin)
        signed = f"{changed.text}\n{public.line(tools.keys['FRA'].sign(changed.text.encode()))}"
        assert code_of(lambda signed=signed: tools.cosigned("USA", signed)) == code  # type: ignore[misc]
    usa = tools.members["USA"].node
    own = NoteKeyName(usa.uri[13:], KeyType.COSIGNATURE, tools.keys["USA"].record.public[32:])
    assert code_of(lambda: tools.cosigned("USA", note + own.line(bytes(72)))) == "SIGNATURE_INVALID"


def test_a_witness_signs_an_older_checkpoint_as_of_when_it_was_the_newest(tools: Tools) -> None:
    tools.logs.act("FRA")
    tools.logs.show("FRA")
    first = tools.note("FRA").note
    at = tools.logs.now // SECOND
    tools.logs.act("FRA", 9)
    tools.logs.show("FRA")
    _, signed = c2sp.open_note(tools.cosigned("USA", first).encode(), tools.vkeys("FRA", "USA"))
    times = [time for time in signed.values() if time is not None]
    assert len(times) == 1
    assert times[0] <= at


def test_a_log_that_contradicted_itself_is_not_cosigned(tools: Tools) -> None:
    tools.logs.act("FRA", 2)
    tools.logs.show("FRA")
    note = tools.note("FRA").note
    rewrite(tools.members["FRA"], 1)
    tools.logs.act("FRA")
    tools.logs.show("FRA")
    assert tools.logs.held("USA", "FRA", CheckpointState.BROKEN)
    assert code_of(lambda: tools.cosigned("USA", note)) == "LOG_INCONSISTENT"


def given(tools: Tools, *codes: str) -> list[GivenMember]:
    """Member files as USA writes them."""
    held = tools.members["USA"].node.trust.members
    return [read_given(write_member_file(held[MemberCode(code)]).encode(), code) for code in codes]


def proved(tools: Tools) -> str:
    """A tlog-proof of FRA under a checkpoint that USA and KEN cosigned."""
    tools.logs.act("FRA", 3)
    tools.logs.show("FRA")
    fra, key = tools.members["FRA"], tools.keys["FRA"]
    found = prove_note(fra.node, fra.store, fra.node.incarnation, 2, 0, key)
    raw = tools.cosigned("KEN", tools.cosigned("USA", found.log.note))
    return write_proof(2, found.proof, raw, found.preimage)


def test_the_judge_reads_notes_by_the_keys_of_the_member_files(tools: Tools) -> None:
    proof = proved(tools)
    checkpoint = proof.split("\n\n", 1)[1]
    found = check_note(proof.encode(), "x", given(tools, "FRA", "USA"))
    assert (found.node, found.size) == (tools.members["FRA"].node.uri, tools.note("FRA").head.size)
    assert found.root == tools.note("FRA").head.root
    assert [one.member for one in found.witnesses] == ["USA"]
    assert found.unknown == 1
    assert [one.member for one in found.members] == ["FRA", "USA"]
    assert found.entry is not None
    assert (found.entry.index, found.entry.type) == (2, "REGISTER")
    bare = check_note(checkpoint.encode(), "x", given(tools, "FRA", "USA", "KEN"))
    assert (bare.entry, bare.unknown, len(bare.witnesses)) == (None, 0, 2)
    assert code_of(lambda: check_note(proof.encode(), "x", given(tools, "USA", "KEN"))) == "SIGNER_UNKNOWN"
    assert is_note(proof.encode())
    assert not is_note(b' {"schema": ""}')


def test_no_changed_proof_is_believed(tools: Tools) -> None:
    proof = proved(tools).encode()
    files = given(tools, "FRA", "USA", "KEN")
    honest = check_note(proof, "x", files)
    for at in range(len(proof)):
        spoilt = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        try:
            found = check_note(spoilt, "x", files)
        except IntelshareError:
            continue
        # The name or id of a witness: its line is somebody's of whom nothing is known.
        assert replace(found, witnesses=(), unknown=0, members=()) == replace(
            honest, witnesses=(), unknown=0, members=()
        )
        assert found.unknown == 1
        assert len(found.witnesses) == 1


def test_a_revoked_note_key_counts_for_nothing(tools: Tools) -> None:
    proof = proved(tools)
    tools.revoke("FRA")
    assert code_of(lambda: check_note(proof.encode(), "x", given(tools, "FRA"))) == "SIGNER_REVOKED"
    assert code_of(lambda: tools.cosigned("USA", tools.note("FRA").note)) == "SIGNER_UNKNOWN"


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "a\nb\nc\n",
        "a\n\n— x AAAAAA==",
        "a\n\nx AAAAAA==\n",
        "a\n\n— x AAAA\n",
        "a\n\n— x+y AAAAAAAA\n",
        "a\r\n\n— x AAAAAAAA\n",
        "a\n\n— x AAAAAAB=\n",
        "x" * 70_000,
    ],
)
def test_what_is_no_note_is_refused(raw: str) -> None:
    assert code_of(lambda: read_note(raw)) in ("INPUT_INVALID", "TOO_LARGE")


@pytest.mark.parametrize(
    "text",
    [
        "a/b\n1\n{root}\n",
        "a/0123456789abcdef\n01\n{root}\n",
        "a/0123456789abcdef\n-1\n{root}\n",
        "a/0123456789abcdef\n1\nAAAA\n",
        "a/0123456789abcdef\n1\n{root}\nmore\n",
        "a b/0123456789abcdef\n1\n{root}\n",
        "a/0123456789ABCDEF\n1\n{root}\n",
    ],
)
def test_what_is_no_checkpoint_of_ours_is_refused(text: str) -> None:
    root = base64.b64encode(bytes(32)).decode()
    assert code_of(lambda: read_head(text.format(root=root))) == "INPUT_INVALID"
