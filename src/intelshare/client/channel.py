"""Opens the channel from a profile to its node, and turns gRPC's errors into ours, for both clients."""

from __future__ import annotations

import json
import random
import socket
from typing import Any

import grpc

from intelshare.client.profile import Credentials, Profile
from intelshare.errors import ConfigError, DeliveryError, IntelshareError, Place
from intelshare.starting import start_command
from intelshare.wire import FLOW, refused_in_tls

DEADLINE = 10.0
"""The seconds for one call; INTELSHARE_PATIENCE scales them."""

MAX_ANSWER = 4 * 1024 * 1024
"""The most bytes of one message from the node."""

_KEEPALIVE = 20_000
"""The milliseconds after which a silent call checks whether the node's host is still there."""

_UNDONE = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED)
_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""The statuses of gRPC itself for a call that it has not given to the node, and for one without an answer.
A stream that was cut it also calls unknown or internal: a node names its own defects (``node.refusal``).
"""

_CODE = "intelshare-code"
_DETAIL = "intelshare-detail-bin"


def in_some_order(address: str) -> str:
    """Return the addresses of replicas in an order that is not the same for all clients."""
    places = [one.strip() for one in address.split(",")]
    random.shuffle(places)
    return ",".join(places)


def next_first(address: str) -> str:
    """Return the same addresses so that the first one is the last that is tried."""
    first, _, others = address.partition(",")
    return f"{others},{first}" if others else address


def target_of(address: str) -> str:
    """Return what gRPC dials for an address; for several, separated by commas, all of them: it takes the
    first that answers, and another one once that ends.
    """
    if "," not in address:
        return address
    places = address.split(",")
    found: list[tuple[int, str, int]] = []
    for place in places:
        host, _, port = place.rpartition(":")
        try:
            known = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            continue  # a name that nobody knows does not hide the others
        found += [(family, str(at[0]), int(at[1])) for family, _, _, _, at in known]
    if not found:
        return places[0]  # gRPC says what is wrong with it
    if all(family == socket.AF_INET for family, _, _ in found):
        return "ipv4:" + ",".join(f"{host}:{port}" for _, host, port in found)
    mapped = {int(socket.AF_INET): "::ffff:"}
    return "ipv6:" + ",".join(f"[{mapped.get(family, '')}{host}]:{port}" for family, host, port in found)


def credentials_of(credentials: Credentials) -> grpc.ChannelCredentials:
    """Return channel credentials for mutual TLS."""
    return grpc.ssl_channel_credentials(
        root_certificates=credentials.authority,
        private_key=credentials.key,
        certificate_chain=credentials.certificate,
    )


def options_of(profile: Profile) -> tuple[tuple[str, str | int], ...]:
    """Return the channel's options."""
    return (
        *FLOW,
        ("grpc.default_authority", profile.server_name),
        ("grpc.ssl_target_name_override", profile.server_name),
        ("grpc.max_receive_message_length", MAX_ANSWER),
        ("grpc.keepalive_time_ms", _KEEPALIVE),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    )


def _to_start(profile: Profile) -> str:
    if profile.node_folder:
        return f"start it: {start_command((profile.folder / profile.node_folder).resolve())}"
    return "start the node, or check the address in the profile"


def error_of(error: Any, profile: Profile, address: str) -> IntelshareError:
    """Return the error that the node raised, from a ``grpc.RpcError``; or the reason why no node answered."""
    told = dict(error.trailing_metadata() or ())
    code = told.get(_CODE)
    if isinstance(code, str) and code:
        return _told(code, told.get(_DETAIL))
    place = Place(address)
    status, details = error.code(), str(error.details() or "")
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        hint = "`intelshare status` shows whether the node is busy"
        return ConfigError("TIMED_OUT", "the node did not answer in time", place=place, hint=hint)
    if status is grpc.StatusCode.UNAVAILABLE and (refused := refused_in_tls(details)):
        return ConfigError(
            "TLS_REFUSED",
            refused,
            place=place,
            hint=f"{profile.certificate} may have expired, or belong to another node: `intelshare doctor "
            f"--as {profile.folder}` checks, and says what to do",
        )
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return ConfigError(
            "TOO_LARGE",
            "the request or answer is too large for one message",
            place=place,
            hint="ask for less at once; a file goes beside its bulletin: --attach",
        )
    if status in _UNDONE:
        message = f"the node failed: {status.name}"
        return ConfigError("INTERNAL", message, place=place, hint="its log says more")
    return ConfigError(
        "NODE_UNREACHABLE",
        "no node answers" if status in _SILENT else f"the connection broke: {status.name}",
        place=place,
        hint=_to_start(profile),
    )


def _told(code: str, detail: object) -> IntelshareError:
    try:
        known = json.loads(detail) if isinstance(detail, bytes) else {}
        place = Place(**known["place"]) if known.get("place") else None
        after = known.get("retry_after")
        return DeliveryError(
            code,
            known.get("message") or "the node refuses",
            place=place,
            hint=known.get("hint"),
            retry_after=int(after) if after else None,
        )
    except (ValueError, TypeError, AttributeError):
        return DeliveryError(code, "the node refuses")
