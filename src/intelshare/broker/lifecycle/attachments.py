"""Attachments: files stored in pieces beside the store, from their upload to their end.

    at the sender     UPLOADING   a user sends it, piece by piece                  due after a day
                      UPLOADED    complete; a bulletin may take it                 due after a day
                      KEPT        a bulletin has it: its recipients are served     due at valid-until
    at a recipient    WANTED      the release is accepted: its pieces are asked for
                      WHOLE       all pieces are here; when all files of the bulletin are, a receipt says so
                      WANTED      a reader met a piece that the disk had lost: it is asked for again
    at both           GONE        ended, recalled or destroyed: its pieces are removed, then its row

The key of a file is in its portion, so whatever happens to the portion happens to the file. The copy of the
key that lets an upload go on is erased with the upload.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import (
    destroy_secret,
    open_portion_secret,
    put_secret,
    read_secret,
)
from intelshare.broker.kernel.shortage import need_disk
from intelshare.broker.kernel.tables import FILE, INBOX, PORTION, SECRET, FileRow, PairRow
from intelshare.broker.kernel.transaction import ToSay, Transaction, open_secret
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pieces import HEADER_LENGTH, KEY_LENGTH, MAX_FILE, pieces_id, read_attachment
from intelshare.crypto.records import (
    Attachment,
    Claims,
    Kind,
    Portion,
    PortionKind,
    Precedence,
    Receipt,
    ReceiptStatus,
)
from intelshare.delivery import BestReceipt, Facts
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError, IntelshareError, code_of_peer
from intelshare.ids import Digest, FilePlace, ManifestDigest, MemberCode, UserUri
from intelshare.instant import DAY, NEVER, Instant
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed

PLACE_LENGTH: Final = 16

MAX_UPLOADS: Final = 64
"""The most uploads of one user that no bulletin has taken: as many as a bulletin has portions."""

MAX_TOGETHER: Final = 256
"""The most files that one step ends or forgets."""

MAX_AGAIN: Final = 16
"""The most times a file is asked for again after the disk lost a piece; then somebody must look at it."""

WHOLE: Final = "WHOLE"
"""The code of an ACCEPTED receipt: every attachment of the bulletin has arrived."""


class FileState(IntEnum):
    """The state of a file, as in the table above."""

    UPLOADING = 0
    UPLOADED = 1
    KEPT = 2
    WANTED = 3
    WHOLE = 4
    GONE = 5


HERE: Final = frozenset((FileState.KEPT, FileState.WHOLE))
"""All pieces are stored here, and a bulletin has them."""


@dataclass(frozen=True, slots=True)
class BeginUpload:
    """A user sends a file of ``size`` bytes, or goes on with one; the client chose ``place`` at random."""

    actor: Actor
    place: FilePlace
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """The key and header with which a file is encrypted."""

    place: FilePlace
    size: int
    key: bytes
    header: bytes

    def __repr__(self) -> str:
        return f"Upload({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class FinishUpload:
    """All pieces are durable; ``pieces`` are their hashes."""

    actor: Actor
    place: FilePlace
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to ask for: its pieces id, its size, and the hash of each piece."""

    place: FilePlace
    pieces_id: Digest
    size: int
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """The consequences of a damaged piece of a file."""

    effects: Effects
    member: MemberCode
    """The member that is asked for it again; empty: none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file whose pieces are stored here."""

    place: FilePlace
    size: int
    member: MemberCode
    """The member that it comes from; empty: it is this member's."""


# At the sender


def begin_upload(node: Node, view: View, command: BeginUpload, now: Instant, random: Random) -> Plan[Upload]:
    """Let a user send a file; the same place again resumes it.

    Raises DeliveryError INPUT_INVALID (not a place), TOO_LARGE, RATE, DISK_FULL, ID_CONFLICT (the place is
    another file's).
    """
    user = user_row_of(view, command.actor)
    if len(command.place) != PLACE_LENGTH:
        raise DeliveryError("INPUT_INVALID", f"an upload is named by {PLACE_LENGTH} bytes")
    if command.size > MAX_FILE:
        raise DeliveryError(
            "TOO_LARGE", f"a file has at most {MAX_FILE} bytes", hint="split it, and attach the parts"
        )
    row = view.get(FILE, command.place)
    if row is not None:
        if (row.user, row.size) != (user.user, command.size) or row.state == FileState.GONE:
            raise DeliveryError(
                "ID_CONFLICT", "this upload was started for another file", hint="attach the file again"
            )
        return Plan((), _upload(node, view, row))
    need_disk(node.lacks, Precedence.ROUTINE)
    if sum(view.count(FILE, "user", user.user, state) for state in _OPEN) >= MAX_UPLOADS:
        raise DeliveryError(
            "RATE",
            f"more than {MAX_UPLOADS} uploads are not yet part of a bulletin",
            hint="send their bulletins; an unused upload ends after a day",
        )
    tx = Transaction(node, view, now, random)
    key, header = random(KEY_LENGTH), random(HEADER_LENGTH)
    tx.put(
        FILE,
        FileRow(
            command.place, ManifestDigest(b""), 0, Digest(b""), command.size, FileState.UPLOADING, user.user,
            MemberCode(""), 0, now, Instant(now + DAY), header, 0,
        ),
    )  # fmt: skip
    put_secret(tx, _secret_of(command.place), 0, key)
    return tx.plan(Upload(command.place, command.size, key, header))


def finish_upload(
    node: Node, view: View, command: FinishUpload, now: Instant, random: Random
) -> Plan[Attachment]:
    """Complete an upload, so that a bulletin may take it; return the content of its attachment portion.

    Raises DeliveryError NOT_FOUND (the upload has ended meanwhile).
    """
    user = user_row_of(view, command.actor)
    row = view.get(FILE, command.place)
    if row is None or row.user != user.user or row.state == FileState.GONE:
        raise DeliveryError("NOT_FOUND", "this upload has ended", hint="attach the file again")
    upload = _upload(node, view, row)
    tx = Transaction(node, view, now, random)
    if row.state == FileState.UPLOADING:
        tx.put(FILE, changed(row, state=FileState.UPLOADED, pieces=pieces_id(command.pieces)))
    return tx.plan(Attachment(row.size, upload.key, upload.header, command.pieces))


def uploads_of(tx: Transaction, portions: Sequence[Portion], user: UserUri) -> list[FileRow | None]:
    """Return for each portion the upload that it stands for, if it is an attachment.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID (one upload for two portions).
    """
    found = [
        _upload_of(tx, portion, user) if portion.kind is PortionKind.ATTACHMENT else None
        for portion in portions
    ]
    places = [row.place for row in found if row is not None]
    if len(set(places)) != len(places):
        raise DeliveryError("INPUT_INVALID", "one upload is attached twice", hint="attach the file twice")
    return found


def take_uploads(
    tx: Transaction,
    md: ManifestDigest,
    uploads: Sequence[FileRow | None],
    slots: Sequence[int],
    expires: Instant,
) -> None:
    """Assign these files to a bulletin of this member."""
    for row, slot in zip(uploads, slots, strict=True):
        if row is not None:
            tx.put(FILE, changed(row, md=md, slot=slot, state=FileState.KEPT, due=expires))


def end_own(tx: Transaction, md: ManifestDigest) -> None:
    """End the files of a recalled bulletin of this member: nobody gets them any more."""
    for row in _of_bulletin(tx, md):
        if row.state == FileState.KEPT:
            _end(tx, row)


def end_due(tx: Transaction) -> None:
    """End uploads that no bulletin took in time, and files of bulletins that have expired."""
    for row in tx.view.find(FILE, "due", after=(0,), limit=MAX_TOGETHER):
        if row.due <= tx.now:
            _end(tx, row)


def any_due(view: View, now: Instant) -> bool:
    """Return True if ``end_due`` has something to do."""
    found = view.find(FILE, "due", after=(0,), limit=1)
    return bool(found) and found[0].due <= now


def codes_after(row: PairRow, facts: Facts, said: Receipt) -> str:
    """Return the codes of a pair's best receipt; it has these facts once this receipt is joined. WHOLE, once
    said, stays until the bulletin is destroyed: nobody says it again.
    """
    told = row.codes.split() if facts.receipt == row.receipt else [code_of_peer(code) for code in said.codes]
    if WHOLE in (*row.codes.split(), *said.codes) and facts.receipt is not BestReceipt.DESTROYED:
        told = [*(code for code in told if code != WHOLE), WHOLE]
    return " ".join(told)


# At a recipient


def want(
    tx: Transaction,
    member: MemberCode,
    md: ManifestDigest,
    portions: Sequence[tuple[int, Portion]],
    precedence: Precedence,
) -> None:
    """Note the attachments of an accepted release, by slot, as files to ask its sender for."""
    for slot, portion in portions:
        if portion.kind is not PortionKind.ATTACHMENT:
            continue
        known = [row for row in tx.view.find(FILE, "portion", md, slot) if row.state != FileState.GONE]
        if known:
            # It came another way before, or is this member's. From now on ask the member it comes from.
            if known[0].state == FileState.WANTED:
                tx.put(FILE, changed(known[0], member=member))
                tx.wanted.add(member)
            continue
        record = read_attachment(portion.content)
        tx.put(
            FILE,
            FileRow(
                FilePlace(tx.random(PLACE_LENGTH)), md, slot, pieces_id(record.pieces), record.size,
                FileState.WANTED, UserUri(""), member, rank(precedence), tx.now, NEVER, b"", 0,
            ),
        )  # fmt: skip
        tx.wanted.add(member)


def first_wanted(
    node: Node, view: View, member: MemberCode, but: Collection[FilePlace], now: Instant
) -> Wanted | None:
    """Return the most urgent file to ask this member for, except ``but`` and those with damaged records."""
    del now
    rows = view.find(FILE, "wanted", FileState.WANTED, member, limit=len(but) + MAX_TOGETHER)
    return _first_whole(node, view, [row for row in rows if row.place not in but])


def wanted_by_id(node: Node, view: View, member: MemberCode, pieces: Digest, now: Instant) -> Wanted | None:
    """Return the file with these pieces that is wanted from a member, if there is one."""
    del now
    rows = view.find(FILE, "pieces", pieces, limit=MAX_TOGETHER)
    wanted = [row for row in rows if row.state == FileState.WANTED and row.member == member]
    return _first_whole(node, view, wanted)


def _first_whole(node: Node, view: View, rows: Sequence[FileRow]) -> Wanted | None:
    """Return the first of these files whose records are not damaged."""
    for row in rows:
        try:
            attachment = attachment_of(node, view, row.md, row.slot)
        except IntelshareError:
            continue
        return Wanted(row.place, row.pieces, row.size, attachment.pieces)
    return None


def attachment_of(node: Node, view: View, md: ManifestDigest, slot: int) -> Attachment:
    """Return the record that opens a received file. Raises DeliveryError NOT_FOUND once it is destroyed."""
    inbox, portion = view.get(INBOX, md), view.get(PORTION, md, slot)
    if inbox is None or portion is None:
        raise DeliveryError("NOT_FOUND", "the bulletin of this file is no longer here")
    claims = decode(Claims, open_secret(node, INBOX.name, md, 0, inbox.sealed_claims))
    opened = reopen(claims.manifest, slot, read_secret(node, view, portion), portion.body)
    return read_attachment(opened.portion.content)


def arrived(node: Node, view: View, place: FilePlace, now: Instant, random: Random) -> Plan[Effects]:
    """Note that all pieces of a file are durable. After a bulletin's last file, tell the originator once."""
    tx = Transaction(node, view, now, random)
    row = view.get(FILE, place)
    if row is not None and row.state == FileState.WANTED:
        tx.put(FILE, changed(row, state=FileState.WHOLE))
        inbox = view.get(INBOX, row.md)
        # A file that was asked for again had arrived before: its receipt was sent then, or goes with the last
        # other file.
        told = bool(row.again) or any(map(_never_arrived, _of_bulletin(tx, row.md)))
        if inbox is not None and not told:
            said = Receipt(inbox.sender, inbox.leaf, ReceiptStatus.ACCEPTED, (WHOLE,), now)
            tx.say([ToSay(inbox.sender, Kind.RECEIPT, encode(Receipt, said), rank(inbox.precedence))])
    return tx.plan(tx.effects())


def lost(node: Node, view: View, place: FilePlace, now: Instant, random: Random) -> Plan[Lost]:
    """Handle a damaged piece that a reader met: ask for the file again, and keep its other pieces.

    Nobody is asked for a file of this member, nor for one that the disk has lost ``MAX_AGAIN`` times.
    """
    tx = Transaction(node, view, now, random)
    row = view.get(FILE, place)
    # Another reader may have met the damage just before.
    asked = row.member if row is not None and row.state == FileState.WANTED else MemberCode("")
    if row is not None and row.state in HERE:
        tx.damaged.append(f"file {place.hex()}: one of its pieces is damaged")
        if row.state == FileState.WHOLE and row.again < MAX_AGAIN:
            tx.put(FILE, changed(row, state=FileState.WANTED, again=row.again + 1))
            tx.wanted.add(row.member)
            asked = row.member
    return tx.plan(Lost(tx.effects(), asked))


def end_received(tx: Transaction, md: ManifestDigest) -> None:
    """End the files of a received bulletin that is destroyed."""
    for row in _of_bulletin(tx, md):
        if row.state in (FileState.WANTED, FileState.WHOLE):
            _end(tx, row)


def end_given_up(tx: Transaction, md: ManifestDigest, slot: int) -> None:
    """End the file of a received portion whose record is given up: nothing names its pieces any more."""
    row = file_of(tx.view, md, slot)
    if row is not None and row.state in (FileState.WANTED, FileState.WHOLE):
        _end(tx, row)


# At both


def file_of(view: View, md: ManifestDigest, slot: int) -> FileRow | None:
    """Return the file of a portion, unless it has ended."""
    rows = view.find(FILE, "portion", md, slot)
    return next((row for row in rows if row.state != FileState.GONE), None)


def wanted_of(view: View, member: MemberCode) -> int:
    """Count the files of this member that have not arrived whole."""
    return view.count(FILE, "wanted", FileState.WANTED, member)


def ended(view: View) -> tuple[FilePlace, ...]:
    """Return the files that have ended, whose pieces must be removed."""
    return tuple([row.place for row in view.find(FILE, "wanted", FileState.GONE, limit=MAX_TOGETHER)])


def forget(tx: Transaction, places: Sequence[FilePlace]) -> None:
    """Delete the rows of these files, whose pieces are removed."""
    for place in places:
        row = tx.get(FILE, place)
        if row is not None and row.state == FileState.GONE:
            tx.delete(FILE, place)


def kept(view: View) -> list[Kept]:
    """Return all files whose pieces may be stored here."""
    return [Kept(row.place, row.size, row.member) for row in view.find(FILE, "key", limit=EVERY_ROW)]


_OPEN: Final = (FileState.UPLOADING, FileState.UPLOADED)


def _never_arrived(row: FileRow) -> bool:
    return row.state == FileState.WANTED and not row.again


def _upload(node: Node, view: View, row: FileRow) -> Upload:
    key = open_portion_secret(node, view.get(SECRET, _secret_of(row.place), 0))
    return Upload(row.place, row.size, key, row.header)


def _upload_of(tx: Transaction, portion: Portion, user: UserUri) -> FileRow:
    asked = pieces_id(read_attachment(portion.content).pieces)
    for stored in tx.view.find(FILE, "pieces", asked, limit=MAX_TOGETHER):
        row = tx.get(FILE, stored.place)
        if row is not None and row.state == FileState.UPLOADED and row.user == user:
            return row
    raise DeliveryError(
        "NOT_FOUND",
        "an attachment was not uploaded here, or more than a day ago",
        hint="send it again: intelshare send --attach FILE",
    )


def _of_bulletin(tx: Transaction, md: ManifestDigest) -> list[FileRow]:
    """Return the files of a bulletin as they will be after the commit."""
    stored = {row.place: row for row in tx.view.find(FILE, "portion", md)}
    return list((stored | {row.place: row for row in tx.put_into(FILE) if row.md == md}).values())


def _end(tx: Transaction, row: FileRow) -> None:
    if row.user:
        destroy_secret(tx, _secret_of(row.place), 0)
    tx.put(FILE, changed(row, state=FileState.GONE, due=NEVER))
    tx.marked = True


def _secret_of(place: FilePlace) -> ManifestDigest:
    """Return the key of SECRET for the copy of a file's key: no digest ends in so many zeros."""
    return ManifestDigest(place.ljust(32, b"\0"))
