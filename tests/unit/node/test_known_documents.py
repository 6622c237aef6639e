"""The documents with which a node starts, where rows of them are damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from intelshare.broker.kernel.documents import REVOKED
from intelshare.broker.kernel.tables import TRUST, TrustRow
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.errors import RecordError
from intelshare.ids import MemberCode
from intelshare.node.folder import Folder
from intelshare.node.mending import known_documents
from intelshare.private_files import make_private_folder
from intelshare.trust import write_member_file
from trust_world import member, view_of

FRA, DEU = member("FRA"), member("DEU")


@dataclass
class Stored:
    """The rows that can be read, and those that are damaged."""

    rows: list[TrustRow]
    lost: list[TrustRow]

    def find(self, *_: Any, **__: Any) -> list[TrustRow]:
        return self.rows

    def known(self) -> tuple[RecordError, ...]:
        return tuple(RecordError(TRUST.name, TRUST.key_of(row), "damaged") for row in self.lost)


def all_rows() -> list[TrustRow]:
    rows = []
    for one in (FRA, DEU):
        rows += [
            TrustRow(one.code, TrustType.ROOT, 1, encode(Trust, one.founded.root)),
            TrustRow(one.code, TrustType.DIRECTORY, 1, encode(Trust, one.founded.directory)),
            TrustRow(one.code, REVOKED, 1, b"revocations"),
        ]
    return rows


def known(folder: Path, *lost: tuple[MemberCode, int]) -> set[bytes]:
    rows = all_rows()
    stored = cast(
        Any, Stored([row for row in rows if row[:2] not in lost], [r for r in rows if r[:2] in lost])
    )
    return set(known_documents(Folder(folder), FRA.code, stored, stored))


@pytest.mark.parametrize(
    ("lost", "is_known"),
    [
        ([], True),
        ([(DEU.code, TrustType.DIRECTORY)], True),
        ([(DEU.code, REVOKED)], True),
        ([(DEU.code, TrustType.DIRECTORY), (DEU.code, REVOKED)], False),
        ([(DEU.code, TrustType.ROOT)], False),
    ],
)
def test_a_member_is_not_known_if_nothing_tells_what_it_has_revoked(
    lost: list[tuple[MemberCode, int]], is_known: bool, tmp_path: Path
) -> None:
    """By its next directory alone a revoked key would count again."""
    found = known(tmp_path, *lost)
    assert (encode(Trust, DEU.founded.root) in found) is is_known
    assert {encode(Trust, FRA.founded.root), encode(Trust, FRA.founded.directory)} <= found
    assert b"revocations" not in found


@pytest.mark.parametrize("text", [None, b"not a member file"])
def test_the_own_documents_are_also_those_of_the_file_beside_the_database(
    text: bytes | None, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    make_private_folder(folder.tls)
    newer = FRA.renewed(FRA.directory.issued)
    held = view_of(FRA).with_document(newer, FRA.directory.issued).view.members[FRA.code]
    folder.own_member.write_bytes(text or write_member_file(held).encode())
    assert (encode(Trust, newer) in known(tmp_path)) is (text is None)
