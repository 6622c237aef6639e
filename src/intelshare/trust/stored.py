"""Reads the trust documents of a store, member by member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from intelshare.crypto.codec import decode
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import Suites
from intelshare.ids import MemberCode
from intelshare.trust.documents import DirectoryDocument, Revocation, read_directory, read_root
from intelshare.trust.rules import MemberTrust, is_signed, restore, unknown_member


def stored_members(
    own: MemberCode,
    documents: Iterable[bytes],
    suites: Suites,
    remembered: Mapping[MemberCode, tuple[Revocation, ...]],
) -> dict[MemberCode, MemberTrust]:
    """Return what is held of each member that has a root. Arguments and errors as ``TrustView.load``."""
    roots: dict[MemberCode, dict[int, Trust]] = {}
    directories: dict[MemberCode, list[tuple[DirectoryDocument, Trust]]] = {}
    for raw in documents:
        trust = decode(Trust, raw)
        if trust.type is TrustType.ROOT:
            root = read_root(trust, suites)
            roots.setdefault(root.member, {})[root.version] = trust
        else:
            directory = read_directory(trust, suites)
            directories.setdefault(directory.member, []).append((directory, trust))
    if own not in roots:
        raise unknown_member(own)
    members = {}
    for member, chain in roots.items():
        ordered = [chain[version] for version in sorted(chain)]
        newest, earlier = _newest(directories.get(member, []), ordered[-1], suites)
        members[member] = restore(ordered, newest, suites, remembered.get(member, ()), earlier)
    return members


def _newest(
    found: Sequence[tuple[DirectoryDocument, Trust]], root: Trust, suites: Suites
) -> tuple[Trust | None, list[Trust]]:
    """Return the directory that counts of those stored, and the others, by their versions. Versions start
    again when a root replaces the directory key, so those that the latest root supports come last.
    """
    if len(found) < 2:
        return (found[0][1] if found else None), []
    latest = read_root(root, suites)

    def rank(one: tuple[DirectoryDocument, Trust]) -> tuple[bool, int, int]:
        directory, trust = one
        return is_signed(trust, directory, latest, suites), directory.version, directory.issued

    ordered = [trust for _, trust in sorted(found, key=rank)]
    return ordered[-1], ordered[:-1]
