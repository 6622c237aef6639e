"""Warnings about a member's documents, for operators: never a reason to refuse them."""

from __future__ import annotations

from intelshare.crypto.records import KeyUse
from intelshare.ids import MemberCode
from intelshare.trust.rules import MemberTrust
from intelshare.trust.view import TrustView, records_of


def warnings_about(view: TrustView, member: MemberCode) -> tuple[str, ...]:
    """Return what operators should know of the documents held of a member."""
    held = view.members[member]
    return (*_foreign_keys(held, view), *_floors(held, view))


def _foreign_keys(after: MemberTrust, view: TrustView) -> tuple[str, ...]:
    owners = {
        record.public: record.member
        for held in view.members.values()
        for record in records_of(held)
        if record.member == held.member != after.member
    }
    return tuple(
        f"the directory of {after.member} lists a key of {record.member}"
        if record.member != after.member
        else f"the directory of {after.member} lists a key that is also one of {owners[record.public]}"
        for record in records_of(after)
        if record.member != after.member or record.public in owners
    )


def _floors(after: MemberTrust, view: TrustView) -> tuple[str, ...]:
    """Return a warning for each side whose floor rules out all signing keys of the other."""
    mine = view.members[view.own].directory
    if mine is None or after.directory is None or after.member == view.own:
        return ()
    return tuple(
        f"{strict.member} accepts suite {strict.floor} or higher, and {other.member} signs with a lower one"
        for strict, other in ((mine, after.directory), (after.directory, mine))
        if all(key.suite < strict.floor for key in other.keys if key.use is KeyUse.SIGNING)
    )
