"""What every client of the user port can rely on, asked in Python over the bare protocol.

python contract.py PROFILE RECIPIENT   ->  one JSON object, the same as contract.mjs prints
"""

import json
import os
import sys
import tomllib
import uuid
from pathlib import Path

import grpc

from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services


def connect(folder: Path) -> grpc.Channel:
    """Mutual TLS; the name in the node's certificate is the profile's, whatever the address is."""
    profile = tomllib.loads((folder / "profile.toml").read_text())
    address = profile.get("address")
    if not address:
        running = json.loads((folder / profile["node_folder"] / "run.json").read_text())
        address = f"{running['host']}:{running['user_port']}"
    credentials = grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(),
        (folder / "key.pem").read_bytes(),
        (folder / "cert.pem").read_bytes(),
    )
    name = profile["server_name"]
    options = (("grpc.ssl_target_name_override", name), ("grpc.default_authority", name))
    return grpc.secure_channel(address, credentials, options=options)


def main(profile: str, recipient: str) -> dict[str, object]:
    with connect(Path(profile)) as channel:
        stub = services.BulletinsStub(channel)
        me = stub.WhoAmI(pb.WhoAmIRequest(), timeout=10)
        request = pb.SubmitRequest(
            key=uuid7(),
            to=[recipient],
            precedence=pb.PRECEDENCE_FLASH,
            valid_until=2**64 - 1,
            deliver_by=2**64 - 1,
            portions=[
                pb.Portion(
                    kind=pb.PORTION_KIND_TEXT,
                    label=f"//{me.member} SECRET//REL TO {me.member}, {recipient}",
                    category="cyber",
                    media="text/plain",
                    content=b"A kit.",
                )
            ],
        )
        planned = stub.DryRun(request, timeout=10)
        first = stub.Submit(request, timeout=10)
        again = stub.Submit(request, timeout=10)
        entry = stub.Outbox(pb.OutboxRequest(id=first.bulletin.hex()), timeout=10).entries[0]
        request.portions[0].content = b"Another kit."
        return {
            "member": me.member,
            "role": me.role,
            "dry_run_has_no_id": planned.bulletin == b"",
            "decided": [[pair.recipient, pair.portions[0].outcome] for pair in first.pairs],
            "same_key_same_answer": first.SerializeToString() == again.SerializeToString(),
            "precedence": entry.precedence,
            "other_content": code_of(lambda: stub.Submit(request, timeout=10)),
            "unknown_id": code_of(lambda: stub.Read(pb.ReadRequest(id="ffffffff"), timeout=10)),
            "no_role": code_of(
                lambda: services.OperationsStub(channel).ListUsers(pb.ListUsersRequest(), timeout=10)
            ),
        }


def code_of(call: object) -> list[object]:
    """The code in the trailing metadata, and whether a message and a hint came with it."""
    try:
        call()  # type: ignore[operator]
    except grpc.RpcError as error:
        told = dict(error.trailing_metadata())
        detail = json.loads(told["intelshare-detail-bin"])
        return [told["intelshare-code"], bool(detail["message"])]
    return ["", False]


def uuid7() -> bytes:
    """16 bytes that sort by time (RFC 9562)."""
    import time

    tail = bytearray(os.urandom(10))
    tail[0], tail[2] = 0x70 | tail[0] & 0x0F, 0x80 | tail[2] & 0x3F
    return uuid.UUID(bytes=(time.time_ns() // 1_000_000).to_bytes(6, "big") + bytes(tail)).bytes


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), indent=1))
