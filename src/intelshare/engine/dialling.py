"""Dialling: one row per peer node that this node dials; it never gives up.

    state      what happens                                            next
    --------   -----------------------------------------------------   --------
    WAITING    its time comes: dial it if listed and not linked        DIALLING or RESTING
    DIALLING   the link opens, or the dial fails, or the link ends      RESTING; WAITING with backoff
    RESTING    the open link ends, or the directories change           WAITING

A link that ends as soon as it is open counts as a failure too, whichever side dialled it, so there is never a
loop without a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intelshare.delivery import Backoff, LinkWord
from intelshare.engine.actions import Dial, Tell
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice
from intelshare.errors import TrustError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.trust import TrustView


@dataclass(slots=True)
class _Peer:
    member: MemberCode
    backoff: Backoff
    at: Instant | None
    """When to dial, on the steady clock; None: not until something changes."""
    link: LinkId | None = None
    """The link that is being dialled, or was dialled and is open."""
    opened: bool = False
    error: str = ""


class Dialling:
    """All peers that this node dials."""

    def __init__(self, dials: Callable[[MemberCode], bool]) -> None:
        """``dials`` tells if the settings of this node let it dial a member."""
        self._dials = dials
        self._peers: dict[NodeUri, _Peer] = {}
        self._errors: dict[NodeUri, str] = {}
        self.begun = False

    def state(self, node: NodeUri) -> tuple[LinkWord, str]:
        """Return the word for a node that is not linked, and the last error's code."""
        peer = self._peers.get(node)
        dialling = peer is not None and peer.link is not None and not peer.opened
        return LinkWord.DIALLING if dialling else LinkWord.WAITING, self._errors.get(node, "")

    def begin(self, turn: Turn) -> None:
        """Start dialling."""
        self.begun = True
        self.look_for_peers(turn)

    def look_for_peers(self, turn: Turn) -> None:
        """Dial nodes that are new in the directories, and retry those that had waited for a document."""
        if not self.begun or turn.parts.stopping.begun:
            return
        for peer in self._peers.values():
            if peer.link is None:
                peer.at = turn.now.steady
        self.divided(turn)

    def divided(self, turn: Turn) -> None:
        """Dial the nodes of members that this replica holds now, and no others."""
        if not self.begun or turn.parts.stopping.begun:
            return
        now, listed = turn.now.steady, self._listed(turn, turn.node.trust)
        for uri, peer in list(self._peers.items()):
            if peer.link is None and uri not in listed:
                del self._peers[uri]
                self._errors.pop(uri, None)
        for uri, member in listed.items():
            if uri not in self._peers:
                # Spread the dials, so that not all start at once.
                spread = int.from_bytes(turn.parts.random(4), "big") % (turn.parts.limits.first_dial + 1)
                self._peers[uri] = _Peer(member, Backoff(contact=now), Instant(now + spread))

    def _listed(self, turn: Turn, trust: TrustView) -> dict[NodeUri, MemberCode]:
        """Return the nodes to dial: a directory costs no more than the bound for its member."""
        return {
            uri: member
            for member in trust.partners
            if member not in trust.excluded
            and (directory := trust.members[member].directory) is not None
            and self._dials(member)
            and turn.parts.dividing.has(member)
            for uri in sorted(node.uri for node in directory.nodes)[: turn.parts.limits.dialled]
        }

    def may_dial(self, turn: Turn, member: MemberCode) -> bool:
        """Return True if this node dials a node of the member, as far as its directory says where they
        are.
        """
        held = turn.node.trust.members.get(member)
        directory = held.directory if held is not None else None
        return (
            directory is not None
            and self._dials(member)
            and any(one.endpoints for one in directory.nodes[: turn.parts.limits.dialled])
        )

    def tick(self, turn: Turn) -> None:
        """Dial the nodes whose time has come."""
        if turn.parts.stopping.begun:
            return
        for uri, peer in self._peers.items():
            if peer.at is not None and peer.at <= turn.now.steady:
                peer.at = None
                self._dial(turn, uri, peer)

    def _dial(self, turn: Turn, uri: NodeUri, peer: _Peer) -> None:
        links = turn.parts.links
        listed = turn.node.trust.node(uri)
        if links.to(uri) is not None or listed is None or not listed[1].endpoints:
            return
        try:
            turn.node.trust.need_node(uri, turn.now.wall)
        except TrustError as error:
            self._failed(turn, uri, peer, error.code)
            return
        peer.link, peer.opened = links.new(), False
        link = PeerLink(peer.link, peer.member, uri, turn.now.steady, turn.parts.limits, dialled=True)
        links.add(link)
        turn.do(Dial(link.number, peer.member, listed[1]))

    def opened(self, node: NodeUri) -> None:
        """Note that there is a link to this node."""
        self._errors.pop(node, None)
        peer = self._peers.get(node)
        if peer is not None:
            peer.at, peer.opened = None, True

    def ended(self, turn: Turn, link: PeerLink, code: str) -> None:
        """Note that a link to a node has ended, or could not be opened."""
        peer = self._peers.get(link.node)
        if peer is None:
            if code:
                self._errors[link.node] = code
            return
        lasted = turn.now.steady - link.opened_at > turn.parts.limits.hello
        # A link that ended at once proves nothing, whoever dialled it: of two nodes that both dial, each
        # would reset the other's pause for ever, and a budget that each opening costs would never fill.
        if link.open and lasted:
            peer.backoff = peer.backoff.heard(turn.now.steady)
        if peer.link == link.number or (peer.link is None and peer.at is None):
            peer.link, peer.opened = None, False
            # While another link is open, its end says when to dial.
            if turn.parts.links.to(link.node) is None:
                self._failed(turn, link.node, peer, code)

    def _failed(self, turn: Turn, node: NodeUri, peer: _Peer, code: str) -> None:
        if code:
            self._errors[node] = code
            turn.do(Tell(Notice.DIAL_FAILED, node, code))
        peer.backoff = peer.backoff.failed()
        delay = peer.backoff.delay(turn.now.steady, turn.parts.random)
        peer.at = Instant(turn.now.steady + delay)

    def next_at(self, turn: Turn) -> Instant | None:
        """Return when the next node is to be dialled."""
        if turn.parts.stopping.begun:
            return None
        due: Instant | None = None
        for peer in self._peers.values():  # at every event
            if peer.at is not None and (due is None or peer.at < due):
                due = peer.at
        return due
