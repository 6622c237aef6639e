"""A new member from nothing: its keys, authorities, root 1 and directory 1, all as values.

The secrets in the result go into vaults (``intelshare init``): the root keys into one of their own, which
then leaves the machine; the rest into the node's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, SUITES, Random, Signer, Suite, load_signer
from intelshare.crypto.x509 import NODE_LIFETIME, CertifiedKey, issue_node, make_authority
from intelshare.errors import TrustError
from intelshare.ids import MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.trust.ceremony import RootProposal, propose_root
from intelshare.trust.documents import (
    DIRECTORY_LIFETIME,
    DirectoryDocument,
    DirectoryNode,
    Endpoint,
    Revocation,
    Revoked,
    RootDocument,
    Why,
    read_directory,
    read_root,
    sign_directory,
    sign_root,
)
from intelshare.trust.keys import SecretKey, new_key
from intelshare.trust.rules import MemberTrust


@dataclass(frozen=True, slots=True)
class Founding:
    """The properties of a member to be created."""

    member: MemberCode
    name: str
    """The display name: "France"."""
    node: str
    """The short name of the first node: "paris-1"."""
    endpoints: tuple[Endpoint, ...] = ()
    """The node's addresses; if empty, the node publishes its own at its first start."""
    floor: int = 1
    """The lowest suite that the member accepts from others."""
    root_keys: int = 1
    threshold: int = 1
    leaf_lifetime: int = NODE_LIFETIME
    """In microseconds; ``x509.DEVELOPMENT_LIFETIME`` for development."""

    @property
    def domain(self) -> str:
        """The member's domain: ``fra.intelshare.internal``."""
        return f"{self.member.lower()}.intelshare.internal"


@dataclass(frozen=True, slots=True)
class Founded:
    """A complete new member. ``TrustView.load`` takes the two documents, encoded."""

    root: Trust
    directory: Trust
    node: DirectoryNode
    root_keys: tuple[SecretKey, ...]
    keys: tuple[SecretKey, ...]
    """The directory, signing and sealing keys."""
    node_authority: CertifiedKey
    user_authority: CertifiedKey
    node_leaf: CertifiedKey
    storage_key: bytes = field(repr=False)
    """The key, 32 bytes, that encrypts whatever is encrypted at rest."""


def create_member(
    plan: Founding,
    at: Instant,
    random: Random,
    suite: Suite = SUITE_1,
    *,
    known: Iterable[int] = (),
    first: bytes = b"",
) -> Founded:
    """Create the member with all its keys of ``suite``; ``known`` are other suites that it can read.

    ``first``: the public key of the first half of the signing key, if a token has that.

    Raises EnvelopeError ENVELOPE_MALFORMED for names that no document may hold.
    """
    member = plan.member
    node = DirectoryNode(
        uri=node_uri(plan.domain, plan.node),
        dns=dns_of(node_uri(plan.domain, plan.node)),
        endpoints=plan.endpoints,
    )
    root_keys = tuple(new_key(suite, KeyUse.ROOT, member, at, random) for _ in range(plan.root_keys))
    directory_key = new_key(suite, KeyUse.DIRECTORY, member, at, random)
    signing_key = new_key(suite, KeyUse.SIGNING, member, at, random, node=node.uri, first=first)
    sealing_key = new_key(suite, KeyUse.SEALING, member, at, random)
    node_authority = make_authority(f"{member} nodes", at, random)
    root = RootDocument(
        format=1,
        member=member,
        version=1,
        domain=plan.domain,
        name=plan.name,
        threshold=plan.threshold,
        keys=tuple(key.record for key in root_keys),
        directory=(directory_key.record,),
    )
    directory = DirectoryDocument(
        format=1,
        member=member,
        version=1,
        issued=at,
        expires=Instant(at + DIRECTORY_LIFETIME),
        nodes=(node,),
        authorities=(node_authority.certificate,),
        keys=(signing_key.record, sealing_key.record),
        suites=tuple(sorted({suite.number, *known})),
        floor=plan.floor,
        ratified=(),
        revocations=(),
    )
    signed_root = sign_root(root, _signers(suite, root_keys))
    signed_directory = sign_directory(directory, *_signers(suite, (directory_key,)))
    # Read the documents as every peer will: a name that none may hold fails here, before anything is written.
    suites = {suite.number: suite}
    read_root(signed_root, suites)
    read_directory(signed_directory, suites)
    return Founded(
        root=signed_root,
        directory=signed_directory,
        node=node,
        root_keys=root_keys,
        keys=(directory_key, signing_key, sealing_key),
        node_authority=node_authority,
        user_authority=make_authority(f"{member} users", at, random),
        node_leaf=issue_node(node_authority, node.uri, node.dns, at, random, lifetime=plan.leaf_lifetime),
        storage_key=random(32),
    )


def found_again(made: Founded, held: MemberTrust, at: Instant, suite: Suite) -> tuple[Founded, RootProposal]:
    """Return the new keys as those of a member that others know, whose vault is lost with its nodes' keys.

    ``made`` is the same member, just created, whose root nobody knows; ``held`` is what others hold of it.
    The proposal is the next root, unsigned: it names the new directory key and no other. In the result that
    key has signed a directory which lists the lost signing keys too, for what they signed is judged by them,
    and ends them all.

    Raises TrustError INPUT_INVALID if the two are not one member.
    """
    if (made_root := read_root(made.root, {suite.number: suite})).domain != held.root.domain:
        raise TrustError("INPUT_INVALID", f"{made_root.domain} is not the domain of {held.member}")
    key = next(key for key in made.keys if key.record.use is KeyUse.DIRECTORY)
    begun = read_directory(made.directory, {suite.number: suite})
    lost = tuple(
        record
        for record in (held.directory.keys if held.directory is not None else ())
        if record.member == held.member and record.use in (KeyUse.SIGNING, KeyUse.NOTE)
    )
    over = [Revocation(Revoked.KEY, key_id(record), Why.ROTATED, at) for record in lost]
    directory = sign_directory(
        replace(begun, keys=lost + begun.keys, revocations=(*held.revocations, *over)),
        *_signers(suite, (key,)),
    )
    proposal = propose_root(held.roots[-1], SUITES, directory=(key.record,))
    return replace(made, root=proposal.signed, directory=directory, root_keys=()), proposal


def node_uri(domain: str, name: str) -> NodeUri:
    """Return the URI of a node: ``intelshare://fra.intelshare.internal/node/paris-1``."""
    return NodeUri(f"intelshare://{domain}/node/{name}")


def user_uri(domain: str, name: str) -> UserUri:
    """Return the URI of a user: ``intelshare://fra.intelshare.internal/user/m.durand``."""
    return UserUri(f"intelshare://{domain}/user/{name}")


def domain_of(node: NodeUri) -> str:
    """Return the domain of the member whose node this is."""
    return node.removeprefix("intelshare://").partition("/node/")[0]


def dns_of(node: NodeUri) -> str:
    """Return the DNS name in the certificate of a node that ``create_member`` has made."""
    return f"{node.partition('/node/')[2]}.{domain_of(node)}"


def _signers(suite: Suite, keys: Iterable[SecretKey]) -> list[Signer]:
    return [load_signer(suite, key.record, key.key_id, key.secret) for key in keys]
