"""Turns an opened bulletin into a message."""

from __future__ import annotations

from collections.abc import Mapping

from intelshare.broker.kernel.tables import FileRow, InboxRow
from intelshare.broker.lifecycle.attachments import HERE
from intelshare.broker.lifecycle.read import Shown, ShownOwn
from intelshare.broker.lifecycle.relations import Context
from intelshare.crypto.pieces import read_attachment
from intelshare.crypto.records import Portion, PortionKind
from intelshare.ids import MemberCode
from intelshare.wire import kind_value, precedence_value
from intelshare.wire.v1 import user_pb2 as pb


def read_response(
    shown: Shown | ShownOwn, originator: MemberCode, context: Context, files: Mapping[int, FileRow | None]
) -> pb.ReadResponse:
    """Return the bulletin as its reader sees it, with its context and, by slot, which files are here."""
    row, here = shown.row, {slot for slot, file in files.items() if file is not None and file.state in HERE}
    got = row if isinstance(row, InboxRow) else None
    return pb.ReadResponse(
        bulletin=row.bulletin,
        originator=originator,
        precedence=precedence_value(row.precedence),
        created_at=row.created,
        received_at=got.received if got is not None else 0,
        valid_until=row.expires,
        banner=shown.banner,
        portions=[
            pb.ReadPortion(
                portion=_portion(one.portion),
                mark=one.mark,
                basis=one.basis,
                obligations=one.obligations,
                file_size=_file_size(one.portion),
                file_here=one.slot in here,
                file_lost=one.slot not in here and _is_lost(files[one.slot]),
            )
            for one in shown.portions
        ],
        release=got.leaf if got is not None else b"",
        sequence=got.sequence if got is not None else 0,
        supersedes=context.supersedes,
        superseded_by=context.superseded_by,
        reply_to=context.reply_to,
    )


def _is_lost(file: FileRow | None) -> bool:
    return file is not None and file.again > 0


def _portion(portion: Portion) -> pb.Portion:
    return pb.Portion(
        kind=kind_value(portion.kind),
        label=portion.label,
        category=portion.category,
        flags=portion.flags,
        grade=portion.grade,
        media=portion.media,
        content=portion.content if portion.kind is not PortionKind.ATTACHMENT else b"",
    )


def _file_size(portion: Portion) -> int:
    is_file = portion.kind is PortionKind.ATTACHMENT
    return read_attachment(portion.content).size if is_file else 0


def waiting_message(waiting: Mapping[MemberCode, int], most: int) -> list[pb.ReadingWaits]:
    """Return how many bulletins of whom wait, by sender; up to ``most`` together were counted."""
    more = sum(waiting.values()) >= most
    return [pb.ReadingWaits(member=one, bulletins=waiting[one], more=more) for one in sorted(waiting)]
