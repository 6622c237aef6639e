"""Forged notes: every way to cheat a judge with a checkpoint or a tlog-proof in the formats of c2sp.org.

A part of ``forgeries``. FRA and USA have note keys, and the reader has the member files of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from envelope_world import stream_of
from intelshare.audit.notes import Head, cosigned_message, log_key, timestamped, witness_key, write_proof
from intelshare.audit.proofs import inclusion_path, root_over
from intelshare.audit.records import EntryType, Start, Submit
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITE_1, NoteKey, load_note_key
from intelshare.ids import Digest, Incarnation, ManifestDigest
from intelshare.instant import SECOND
from intelshare.trust import new_key
from intelshare.trust.documents import Revocation, Revoked, Why
from judge_world import LOG, Forgery, Log, Party, at, party
from trust_world import NOW


@dataclass(frozen=True)
class Noter:
    """A member, and the note key that its directory lists."""

    party: Party
    key: NoteKey

    @classmethod
    def of(cls, member: Party) -> Noter:
        made = new_key(
            SUITE_1, KeyUse.NOTE, member.of.code, NOW, stream_of(f"note {member.of.fingerprint}"),
            node=member.node,
        )  # fmt: skip
        listed = member.of.renewed(NOW, add_keys=[made.record])
        return cls(replace(member, directories=(listed,)), load_note_key(made.record, made.secret))

    def revoked(self) -> Party:
        """The member, with a directory that revokes its note key."""
        row = Revocation(Revoked.KEY, key_id(self.key.record), Why.ROTATED, at(50))
        listed = self.party.of.renewed(NOW, add_keys=[self.key.record], revoke=[row])
        return replace(self.party, directories=(listed,))

    def signed(self, head: Head, text: str) -> str:
        """A note of this text, signed as by the owner of the log."""
        return f"{text}\n{log_key(head, self.key.record.public).line(self.key.sign(text.encode()))}"

    def seen(self, text: str, said: int, signed: int) -> str:
        """A cosignature over the time ``signed``, in whose line the time ``said`` stands; in seconds."""
        name = witness_key(self.party.node, self.key.record.public)
        return name.line(timestamped(said, self.key.cosign(cosigned_message(text, signed))))


FRA, USA, FAKE_FRA = (Noter.of(one) for one in (party("FRA"), party("USA"), party("FRA", "made up")))
GIVEN = (FRA.party.given(), USA.party.given())
THE_LOG = Log.of([
    (EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0)),
    *[(EntryType.SUBMIT, Submit(ManifestDigest(bytes([n]) * 32), "user"), at(n)) for n in (1, 2, 3, 4)],
])  # fmt: skip
HEAD = Head(FRA.party.node, LOG, len(THE_LOG.entries), Digest(THE_LOG.root()))
SEEN = NOW // SECOND
NOTE = FRA.signed(HEAD, HEAD.text) + USA.seen(HEAD.text, SEEN, SEEN)
"""A genuine one, as every other here would be without what its name says."""


def checkpoints() -> Iterator[Forgery]:
    """Notes that are none, that others signed, or that can be read in two ways."""
    text, lines = NOTE.split("\n\n")
    own, cosigned = lines.splitlines(keepends=True)
    late = USA.seen(HEAD.text, SEEN + 1, SEEN)
    for name, note, code in (
        ("of more than 16 MiB", NOTE + "\n" * (16 << 20), "TOO_LARGE"),
        ("that is cut off", NOTE[:-1], "INPUT_INVALID"),
        ("without signatures", f"{text}\n", "INPUT_INVALID"),
        ("with a fourth line", FRA.signed(HEAD, f"{HEAD.text}more\n"), "INPUT_INVALID"),
        ("with a line that signs nothing", f"{NOTE}all of this is true\n", "INPUT_INVALID"),
        ("with a key id and no signature", f"{NOTE}\u2014 x AAAAAA==\n", "INPUT_INVALID"),
        ("with a control character", f"{NOTE}\u2014 x\x1b AAAAAAA=\n", "INPUT_INVALID"),
        ("seen after all times", NOTE.replace(cosigned, USA.seen(HEAD.text, *[2**63] * 2)), "INPUT_INVALID"),
        ("that a witness saw twice", NOTE + USA.seen(HEAD.text, SEEN + 1, SEEN + 1), "INPUT_INVALID"),
        ("whose signature has a second spelling", respelled(NOTE, own.split()[2]), "INPUT_INVALID"),
        ("whose signature is no base64", NOTE.replace(own.split()[2], "AAAAA"), "INPUT_INVALID"),
        ("of another size", NOTE.replace(f"\n{HEAD.size}\n", "\n6\n"), "SIGNATURE_INVALID"),
        ("seen at another time", f"{text}\n\n{own}{late}", "SIGNATURE_INVALID"),
        ("that only a witness signed", f"{text}\n\n{cosigned}", "SIGNER_UNKNOWN"),
        ("that USA signed for FRA", USA.signed(HEAD, HEAD.text), "SIGNER_UNKNOWN"),
        ("by a made-up FRA", FAKE_FRA.signed(HEAD, HEAD.text), "SIGNER_UNKNOWN"),
    ):
        yield Forgery(f"a note {name}", note.encode(), GIVEN, code)
    for code, given in (("FRA", (FRA.revoked(), USA.party)), ("USA", (FRA.party, USA.revoked()))):
        yield Forgery(f"a note under a revoked key of {code}", NOTE.encode(), given, "SIGNER_REVOKED")


def proofs() -> Iterator[Forgery]:
    """Proofs of entries that are not in the log, or that open nothing."""
    kind, when, salt, data = THE_LOG.entries[3]
    path = inclusion_path(lambda low, high: root_over(THE_LOG.hashes[low:high]), 3, HEAD.size)
    entry = bytes([kind]) + when.to_bytes(8) + salt + data
    never = entry[:1] + b"\xff" * 8 + entry[9:]
    genuine = write_proof(3, path, NOTE, entry)
    first = genuine.split("\n")[0]
    for name, text, code in (
        ("of nothing", f"{first}\n\n{NOTE}", "INPUT_INVALID"),
        ("whose entry has another name", genuine.replace("extra ", "other "), "INPUT_INVALID"),
        ("without the entry", write_proof(3, path, NOTE), "INPUT_INVALID"),
        ("of an entry without a record", write_proof(3, path, NOTE, entry[:41]), "INPUT_INVALID"),
        ("of an entry after all times", write_proof(3, path, NOTE, never), "INPUT_INVALID"),
        ("whose place is no number", genuine.replace("index 3", "index 03"), "INPUT_INVALID"),
        ("of another place", genuine.replace("index 3", "index 2"), "LOG_INCONSISTENT"),
        ("of a place behind the end", genuine.replace("index 3", "index 5"), "LOG_INCONSISTENT"),
        ("of another record", write_proof(3, path, NOTE, entry[:-1] + b"x"), "LOG_INCONSISTENT"),
        ("that is too short", write_proof(3, path[:-1], NOTE, entry), "LOG_INCONSISTENT"),
    ):
        yield Forgery(f"a tlog-proof {name}", text.encode(), GIVEN, code)


def respelled(note: str, signature: str) -> str:
    """The same bytes in base64 whose last digit has bits that decode to nothing."""
    assert signature.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(signature[-2]) + 1]
    return note.replace(signature, f"{signature[:-2]}{last}=")
