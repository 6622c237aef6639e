"""Good inputs of each target, from the vectors and from what ships."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from intelshare.audit.path import LogPath
from intelshare.broker.kernel.frame import Ack, Carried, Frame, Gap, Slice, SliceAsk
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import issue_node, issue_user, make_authority, to_pem
from intelshare.ids import Digest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.node.settings import Settings
from intelshare.node.settings_file import write_settings
from intelshare.statement.kinds import KINDS
from intelshare.trust import read_root
from intelshare.trust.ceremony import propose_root, write_proposal, write_root_key
from intelshare.wire.conversion import (
    acks_message,
    ask_message,
    frame_message,
    gap_message,
    hello_message,
    path_message,
    slice_ask_message,
    slice_message,
)

AT = Instant(1_790_000_000_000_000)
TESTS = Path(__file__).parents[1]
VECTORS = TESTS / "vectors"
FILES = VECTORS / "files"


@cache
def vectors(name: str) -> Any:
    """What a file of vectors holds."""
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def records(layout: str) -> list[bytes]:
    """The bytes of every vector of a record: those of good ones first, then the refused."""
    told = vectors("statements")
    kind = next((kind for kind, row in KINDS.items() if row.record.__name__ == layout), None)
    good = [row["data"] for row in told["all_kinds"]["statements"] if kind and row["kind"] == kind.name]
    if layout == "HelloPayload":
        good = [told["hello"][name]["payload_bytes"] for name in ("answer", "confirmation")]
    elif layout == "Trust":
        good = [row["trust"] for row in told["documents"]]
    rows = [*good, *(row["bytes"] for row in told["records"] if row["layout"] == layout)]
    return [bytes.fromhex(row) for row in rows]


def documents(kind: TrustType) -> list[bytes]:
    """The documents, without their signatures, of every vector of a root or a directory."""
    rows = vectors("statements")["documents"] + vectors("suites")["documents"]
    trusts = [decode(Trust, bytes.fromhex(row["trust"])) for row in rows]
    return [trust.document for trust in trusts if trust.type is kind]


def batches() -> list[bytes]:
    """The batches of every vector that is one."""
    found = [
        vectors("envelope")["batch_of_1"],
        vectors("envelope")["batch_of_3"],
        vectors("suites")["batch_of_2"],
    ]
    return [bytes.fromhex(row["batch"]) for row in found]


def paths() -> list[bytes]:
    """Ways from one checkpoint to a later one."""
    return [bytes.fromhex(row["path"]) for row in vectors("statements")["paths"]]


def exhibits() -> list[bytes]:
    """What is kept as evidence."""
    return [bytes.fromhex(row["exhibit"]) for row in vectors("statements")["exhibits"]]


def proofs_of_hellos() -> list[bytes]:
    """The answer and the confirmation of a hello."""
    told = vectors("statements")["hello"]
    return [bytes.fromhex(told[name]["proof"]) for name in ("answer", "confirmation")]


def certificates() -> list[bytes]:
    """An authority as DER, a node's leaf and a user's."""

    def random(length: int) -> bytes:
        return bytes(range(1, length + 1))

    authority = make_authority("FRA node authority", AT, random)
    node = issue_node(authority, "intelshare://fra.test/node/one", "one.node.fra.test", AT, random)
    user = issue_user(authority, "intelshare://fra.test/user/anna", AT, random)
    return [node.certificate, authority.certificate, user.certificate]


def pems() -> list[bytes]:
    """The same as PEM."""
    return [to_pem([der]) for der in certificates()]


def labels() -> list[bytes]:
    """Every text of the vectors of labels."""
    return [row["text"].encode("utf-8", "surrogatepass") for row in vectors("labels") if "text" in row]


def samples(*folders: str) -> list[bytes]:
    """Files of the wild."""
    return [
        path.read_bytes() for folder in folders for path in sorted((TESTS / "samples" / folder).iterdir())
    ]


def treaties() -> list[bytes]:
    """Treaties that ship, the shortest first."""
    paths = sorted((TESTS.parent / "treaties").rglob("*.toml"), key=lambda path: (path.stat().st_size, path))
    return [path.read_bytes() for path in paths if not path.stem.endswith("_test")][:6]


def overlays() -> list[bytes]:
    """Law of a member's own."""
    path = TESTS.parent / "examples" / "policy-repo" / "overlays" / "deu.toml"
    return [path.read_bytes()]


def settings() -> list[bytes]:
    """The settings of a node as `init` writes them, and what an operator may say besides."""
    return [
        write_settings(
            Settings(
                MemberCode("FRA"), NodeUri("intelshare://fra.test/node/one"), user_port=7000, peer_port=7001
            )
        ).encode()
    ]


def files(*names: str) -> list[bytes]:
    """Files of the vectors."""
    return [(FILES / name).read_bytes() for name in names]


def notes() -> list[bytes]:
    """Checkpoints and proofs of logs as other tools read them."""
    return [str(row["signed_note"]).encode() for row in vectors("notes")]


def vaults() -> list[bytes]:
    """A vault whose passphrase costs next to nothing."""
    return files("vault.bin")


def frames() -> list[bytes]:
    """One message of a link of each kind."""
    statement = Carried(1, bytes(16), b"data", bytes(257), b"grant", (b"body", b""))
    digest = Digest(bytes(range(32)))
    path = decode(LogPath, paths()[0])
    return [
        frame_message(Frame(b"batch", b"key", (statement, statement))),
        acks_message([Ack(digest, "RATE", AT), Ack(digest, "", AT)], AT),
        gap_message(Gap("intelshare://fra.test/node/one", 7, ((1, 2), (5, 9)))),
        gap_message(Gap.of_acts(3)),
        hello_message(b"hello"),
        ask_message(path.ask),
        path_message(path),
        slice_ask_message(SliceAsk(digest, 4)),
        slice_message(Slice(digest, 4, b"bytes of a file")),
    ]


def proposals() -> list[bytes]:
    """A root that is to succeed another, and a root key, as files."""
    root = next(
        trust
        for row in vectors("statements")["documents"]
        if (trust := decode(Trust, bytes.fromhex(row["trust"]))).type is TrustType.ROOT
    )
    key = read_root(root, SUITES).keys[0]
    return [write_proposal(propose_root(root, SUITES)).encode(), write_root_key(key).encode()]


def shown() -> list[bytes]:
    """Texts that would act on a terminal."""
    return [
        b"plain",
        b"\x1b]52;c;aGk=\x07",
        "e\u0301\u0302\u0303 \u202eabc\u2066 \u200b\x9b31m".encode(),
        b"../x",
        b"CON",
    ]
