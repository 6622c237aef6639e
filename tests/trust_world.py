"""Members founded for tests of trust, and views in which they know each other."""

from __future__ import annotations

from dataclasses import dataclass

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, SUITES, Signer, Suite, load_signer
from intelshare.ids import MemberCode
from intelshare.instant import Instant, parse
from intelshare.trust import (
    DirectoryDocument,
    Founded,
    Founding,
    RootDocument,
    SecretKey,
    TrustView,
    create_member,
    renew_directory,
)
from intelshare.trust.fingerprint import fingerprint

NOW = parse("2026-11-24T12:00:00Z")


def signer(key: SecretKey) -> Signer:
    """The signer of a founded key."""
    return load_signer(SUITES[key.record.suite], key.record, key.key_id, key.secret)


@dataclass(frozen=True)
class TestMember:
    """A founded member with its keys at hand."""

    __test__ = False
    founded: Founded

    @property
    def code(self) -> MemberCode:
        return self.root.member

    @property
    def root(self) -> RootDocument:
        return decode(RootDocument, self.founded.root.document)

    @property
    def directory(self) -> DirectoryDocument:
        return decode(DirectoryDocument, self.founded.directory.document)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.founded.root.document)

    def key(self, use: KeyUse) -> SecretKey:
        return next(key for key in self.founded.keys if key.record.use is use)

    def signer(self, use: KeyUse) -> Signer:
        return signer(self.key(use))

    def renewed(self, at: Instant, **changes: object) -> Trust:
        """The next directory."""
        return renew_directory(self.directory, self.signer(KeyUse.DIRECTORY), at, **changes)  # type: ignore[arg-type]


def member(
    code: str,
    *,
    root_keys: int = 1,
    threshold: int = 1,
    at: Instant = NOW,
    seed: str = "",
    suite: Suite = SUITE_1,
    floor: int = 1,
) -> TestMember:
    """A member made of its code (and ``seed``, for a second one of the same name)."""
    plan = Founding(
        MemberCode(code), code.title(), "one", floor=floor, root_keys=root_keys, threshold=threshold
    )
    return TestMember(create_member(plan, at, stream_of(f"{code}/{seed}"), suite))


def view_of(own: TestMember, *others: TestMember, at: Instant = NOW) -> TrustView:
    """What ``own`` trusts after importing the others."""
    view = TrustView.load(own.code, documents(own), SUITES)
    for other in others:
        view = view.with_member((other.founded.root,), other.fingerprint).view
        view = view.with_document(other.founded.directory, at).view
    return view


def documents(*members: TestMember) -> list[bytes]:
    """Their first documents as a store keeps them."""
    return [encode(Trust, doc) for m in members for doc in (m.founded.root, m.founded.directory)]
