"""Members: known members and their dates, this node's keys and certificates, budgets that were spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from intelshare.builtin import builtin_registry
from intelshare.console.documents.shown import at
from intelshare.console.nodes import EVERYBODY, OVERSEERS, Nodes
from intelshare.wire.v1 import user_pb2 as pb

MAX_MEMBERS: Final = 256
MAX_KEYS: Final = 200


def members(nodes: Nodes, _: Mapping[str, str]) -> dict[str, Any]:
    """Return the document; its keys are null unless somebody who oversees the node asks."""
    listed = nodes.ask(EVERYBODY, lambda client: client.operate("ListMembers", pb.ListMembersRequest()))
    roles = OVERSEERS if nodes.may(OVERSEERS) else EVERYBODY
    status = nodes.ask(roles, lambda client: client.status())
    keys = None
    if roles is OVERSEERS:
        keys = nodes.ask(roles, lambda client: client.operate("ListKeys", pb.ListKeysRequest())).keys
    peers = {peer.member: peer for peer in status.peers}
    registry = builtin_registry()
    return {
        "member": status.member,
        "directory_expires": at(status.directory_expires),
        "certificate_expires": at(status.certificate_expires),
        "members": [
            {
                "member": one.member,
                "name": registry.states.get(one.member, ""),
                "organisation": registry.is_organisation(one.member),
                "own": one.member == status.member,
                "fingerprint": one.fingerprint,
                "root_version": one.root_version,
                "directory_version": one.directory_version,
                "directory_expires": at(one.directory_expires),
                "nodes": list(one.nodes),
                "treaties": list(one.treaties),
                "exclusion": one.exclusion,
                "state": peers[one.member].state if one.member in peers else "",
                "last_seen": at(peers[one.member].last_seen) if one.member in peers else None,
                "clock_offset_ms": peers[one.member].clock_offset // 1000 if one.member in peers else None,
            }
            for one in list(listed.members)[:MAX_MEMBERS]
        ],
        "keys": None if keys is None else [_key(key) for key in list(keys)[:MAX_KEYS]],
        "budgets": [
            {"member": one.member, "name": one.name, "refused": one.refused, "again_ms": one.again // 1000}
            for one in status.budgets
        ],
        "ports": [
            {"name": port.name, "port": port.port, "connections": port.connections, "most": port.most}
            for port in status.ports
        ],
    }


def _key(key: pb.KeyEntry) -> dict[str, Any]:
    return {
        "id": key.id.hex(),
        "use": key.use,
        "suite": key.suite,
        "state": key.state,
        "from": at(key.counts_from),
        "until": at(key.counts_until),
        "due": at(key.due_at),
        "destroyed": at(key.destroyed_at),
    }
