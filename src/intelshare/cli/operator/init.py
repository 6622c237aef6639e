"""``init``: creates a new member with its keys and authorities, and the data folder of its first node."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import passphrase as passphrase_options
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, Place
from intelshare.instant import Instant
from intelshare.starting import start_command
from intelshare.text import safe_name

if TYPE_CHECKING:
    from intelshare.broker.kernel.tables import UserRow
    from intelshare.cli.shared.node_folder import Passphrase
    from intelshare.client import Credentials
    from intelshare.labels import Registry
    from intelshare.node.folder import Folder
    from intelshare.node.settings import Settings
    from intelshare.trust import Founded, Founding, MemberTrust
    from intelshare.vault import TokenPlace

OPERATOR = "operator"
ROOT_VAULT = "root-keys"


@click.command(
    epilog=examples(
        "intelshare init NOR nor --dev",
        "intelshare init FIN fin --dev --suite 2 --floor 2 --root-keys 3 --threshold 2",
        "intelshare init SWE swe --host 10.0.0.5 --peer-port 7443 --passphrase-file swe.passphrase",
    )
)
@click.argument("member")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--node", "name", default="node-1", show_default=True, help="Short name of the node.")
@click.option(
    "--suite",
    type=click.Choice(["1", "2"]),
    default="1",
    show_default=True,
    help="Cipher suite of the keys: 1 is ML-KEM-768 and ML-DSA-65, 2 is ML-KEM-1024 and ML-DSA-87, each with "
    "a curve.",
)
@click.option(
    "--floor",
    type=click.Choice(["1", "2"]),
    default="1",
    show_default=True,
    help="Refuse other members whose keys use a lower suite.",
)
@click.option(
    "--root-keys",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Number of root keys to make, each in a separate vault for its holder.",
)
@click.option(
    "--threshold",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Number of root keys that must sign a root.",
)
@click.option(
    "--root-passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File (mode 0600) with the passphrase of the vaults of root keys. Default: the node's.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on which the node listens.")
@click.option("--advertise", default="", help="Name or address that peers dial, if it differs from --host.")
@click.option("--peer-port", type=click.IntRange(0, 65535), default=0, help="0 for any free port.")
@click.option("--user-port", type=click.IntRange(0, 65535), default=0, help="0 for any free port.")
@click.option(
    "--dev",
    is_flag=True,
    help="For tests on one machine: peers on loopback, a vault with cheap stretching, certificates for 30 "
    "days, the demo's treaties, and, if none is given, a passphrase generated and kept in FOLDER. `node run` "
    "accepts such a folder only with --dev.",
)
@click.option(
    "--light",
    is_flag=True,
    help="For a small machine behind a poor line: it dials, is dialled by nobody, and keeps little.",
)
@click.option(
    "--token",
    type=(str, str),
    metavar="MODULE LABEL",
    help="Make one half of the signing key in this token (PKCS #11): the library of its maker, and its "
    "label, so that the key was never outside.",
)
@click.option(
    "--token-pin-file",
    default="",
    metavar="FILE",
    help="File (mode 0600) with its PIN, or secrets:NAME for a mounted one. Default: the node asks at each "
    "start.",
)
@click.option(
    "--again",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The member's file, for a member whose vault is lost: its node is made again with new keys, and the "
    "holders of its root sign what then takes the place of the lost ones.",
)
@click.option(
    "--own",
    "beside",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Copy ladders/, groups/ and words/ from DIR into the node's law; they may define MEMBER.",
)
@passphrase_options
@printing
def init(
    out: Out,
    member: str,
    folder: Path,
    name: str,
    suite: str,
    floor: str,
    root_keys: int,
    threshold: int,
    root_passphrase_file: Path | None,
    host: str,
    advertise: str,
    peer_port: int,
    user_port: int,
    dev: bool,
    light: bool,
    token: tuple[str, str] | None,
    token_pin_file: str,
    again: Path | None,
    beside: Path | None,
    passphrase: Passphrase,
) -> None:
    """Create MEMBER (FRA, KEN, NATO ...) and its first node in the new folder FOLDER.

    Makes the root (in a separate vault, which must then be moved off this machine), the directory, the
    authorities for nodes and users, the node's vault and database, and one user: an operator.
    """
    from intelshare.cli.shared.beside import own_files, read_policy, with_own
    from intelshare.ids import MemberCode
    from intelshare.trust import Founding, fingerprint

    code = member.upper()
    own = [] if beside is None else own_files([beside / "any.toml"])
    name_of_member = _name_of(code, with_own(own, read_policy))
    if threshold > root_keys:
        raise click.UsageError(f"{threshold} of {root_keys} root keys cannot sign")
    known = None if again is None else _known(again, code)
    if known is not None:
        if (root_keys, threshold) != (1, 1):
            raise click.UsageError("--again keeps the root keys and their threshold")
        name = _node_of(known, name)
    plan = Founding(
        MemberCode(code),
        name_of_member,
        safe_name(name, source="--node"),
        floor=int(floor),
        root_keys=root_keys,
        threshold=threshold,
    )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "ID_CONFLICT",
            "it already exists",
            place=Place(str(folder)),
            hint="name a new folder; a member is created only once",
        )
    secret = _new_passphrase(passphrase, dev=dev)
    of_roots = secret if root_passphrase_file is None else passphrase.of_file(root_passphrase_file)(new=True)
    place = _token_place(token, token_pin_file)
    chosen = Chosen(int(suite), host, advertise, peer_port, user_port, place)
    founded = _make(folder, plan, (secret, of_roots), chosen, own, known, dev=dev, light=light)
    if dev:
        _development(folder, secret, given=passphrase.given)
    print_ = fingerprint(founded.root.document) if known is None else known.fingerprint
    out.document(
        "founded",
        {"member": code, "node": founded.node.uri, "folder": str(folder), "fingerprint": print_, "dev": dev},
    )
    out.line(f"{code} {plan.name}: {founded.node.uri}")
    out.line(f"fingerprint {print_}")
    if known is not None:
        proposal = quote(str(folder / "root.json"))
        out.note(
            f"next, each holder of the root: intelshare trust root sign {proposal} --vault FILE; "
            f"then: intelshare trust root publish {proposal} --folder {quote(str(folder))}"
        )
        return
    if not dev:
        out.note(
            f"the root keys are in {folder / ROOT_VAULT}: move them off this machine now, one to each holder"
        )
    out.note(f"next: {start_command(folder)}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The suite of a new node, where it listens, and the token for its signing keys."""

    suite: int
    host: str
    advertise: str
    peer_port: int
    user_port: int
    token: TokenPlace | None


def _token_place(token: tuple[str, str] | None, pin_file: str) -> TokenPlace | None:
    from intelshare.vault import TokenPlace

    if token is None:
        if pin_file:
            raise click.UsageError("--token-pin-file goes with --token")
        return None
    module, label = token
    if not Path(module).is_absolute():
        raise click.UsageError("--token: give the whole path of the module's library")
    mounted = not pin_file or pin_file.startswith("secrets:")
    return TokenPlace(module, label, pin_file=pin_file if mounted else str(Path(pin_file).absolute()))


def _make(
    folder: Path,
    plan: Founding,
    passphrases: tuple[bytes, bytes],
    chosen: Chosen,
    own: list[Path],
    known: MemberTrust | None,
    *,
    dev: bool,
    light: bool,
) -> Founded:
    """Make the whole folder or nothing: it is built beside the target and renamed into place."""
    import asyncio

    from intelshare.crypto.suites import SUITES
    from intelshare.crypto.x509 import DEVELOPMENT_LIFETIME
    from intelshare.node.establish import wait_for_root
    from intelshare.node.folder import Folder
    from intelshare.node.open_folder import opened_token
    from intelshare.node.whole_folder import appearing
    from intelshare.private_files import make_private_folder, write_private
    from intelshare.trust import create_member, found_again

    now = Instant(time.time_ns() // 1000)
    token = opened_token(Folder(folder), chosen.token)
    first = token.make(chosen.suite) if token is not None else b""
    founded = create_member(
        replace(plan, leaf_lifetime=DEVELOPMENT_LIFETIME) if dev else plan,
        now,
        os.urandom,
        SUITES[chosen.suite],
        known=SUITES,
        first=first,
    )
    proposal = None
    if known is not None:
        founded, proposal = found_again(founded, known, now, SUITES[chosen.suite])
    settings = _settings(plan, founded, chosen, dev=dev, light=light)
    row, certificate, credentials = _operator(plan, founded, settings, now)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with appearing(folder) as beside:
            target = Folder(beside)
            _vaults(target, settings, founded, passphrases, dev=dev)
            for path in own:
                make_private_folder(beside / path.parent.name)
                write_private(beside / path.parent.name / path.name, path.read_bytes())
            asyncio.run(_first_rows(target, settings, founded, known, row, certificate))
            if known is not None and proposal is not None:
                wait_for_root(target, known, founded.directory, proposal)
            _operator_profile(target, settings, founded, credentials)
    except BaseException:
        if token is not None:
            token.destroy(first)
        raise
    return founded


def _settings(plan: Founding, founded: Founded, chosen: Chosen, *, dev: bool, light: bool) -> Settings:
    from intelshare.crypto.x509 import DEVELOPMENT_LIFETIME, NODE_LIFETIME, USER_LIFETIME
    from intelshare.engine import SpaceLimits
    from intelshare.node.settings import DEVELOPMENT_SPACE, Settings
    from intelshare.node.settings import light as small

    settings = Settings(
        plan.member,
        founded.node.uri,
        allow_loopback_peers=dev,
        floor=plan.floor,
        user_lifetime=DEVELOPMENT_LIFETIME if dev else USER_LIFETIME,
        node_lifetime=DEVELOPMENT_LIFETIME if dev else NODE_LIFETIME,
        space=DEVELOPMENT_SPACE if dev else SpaceLimits(),
        suite=chosen.suite,
        host=chosen.host,
        advertise=chosen.advertise,
        peer_port=chosen.peer_port,
        user_port=chosen.user_port,
        token=chosen.token,
    )
    return small(settings) if light else settings


def _operator(
    plan: Founding, founded: Founded, settings: Settings, now: Instant
) -> tuple[UserRow, bytes, Credentials]:
    """Return the row of the first user, an operator, its certificate, and what its profile holds."""
    from intelshare.broker.kernel.tables import UserRow
    from intelshare.client import Credentials
    from intelshare.crypto.x509 import digest_of, request_key, sign_user, to_pem
    from intelshare.trust import user_uri

    uri, made = user_uri(plan.domain, OPERATOR), request_key(os.urandom)
    authority, lifetime = founded.user_authority, settings.user_lifetime
    certificate = sign_user(authority, uri, made.request, now, os.urandom, lifetime=lifetime)
    row = UserRow(uri, OPERATOR, OPERATOR, "", "", "", 0, digest_of(certificate))
    issuer = founded.node_authority.certificate
    return row, certificate, Credentials(to_pem((certificate,)), to_pem((issuer,)), made.key)


def _vaults(
    target: Folder, settings: Settings, founded: Founded, passphrases: tuple[bytes, bytes], *, dev: bool
) -> None:
    """Write the node's vault with node.toml, and the separate vaults of root keys."""
    from intelshare.crypto.suites import SUITES
    from intelshare.node.establish import make_folder
    from intelshare.vault import DEVELOPMENT, STANDARD, create_vault

    cost = DEVELOPMENT if dev else STANDARD
    secret, of_roots = passphrases
    make_folder(target, settings, founded, secret, suites=SUITES, random=os.urandom, cost=cost)
    several = len(founded.root_keys) > 1
    for place, key in enumerate(founded.root_keys, 1):
        # One vault for each holder: each leaves this machine separately.
        create_vault(
            target.root / ROOT_VAULT / (f"holder-{place}" if several else "") / "vault",
            of_roots,
            keys=(key,),
            certified={},
            storage_key=None,
            suites=SUITES,
            random=os.urandom,
            cost=cost,
        )


def _known(file: Path, code: str) -> MemberTrust:
    """Return the member of a member file: its root proves itself to those who know its fingerprint, as its
    holders do.
    """
    from intelshare.cli.shared.files import read_given
    from intelshare.crypto.suites import SUITES
    from intelshare.trust import MAX_MEMBER_FILE, read_member_file, restore

    given = read_member_file(read_given(file, MAX_MEMBER_FILE), str(file))
    if given.member != code:
        raise ConfigError("INPUT_INVALID", f"it is the file of {given.member}", place=Place(str(file)))
    return restore(given.roots, given.directory, SUITES)


def _node_of(known: MemberTrust, name: str) -> str:
    """Return the name that the member's one node had, so that it stays the same node to others."""
    nodes = known.directory.nodes if known.directory is not None else ()
    return nodes[0].uri.rpartition("/")[2] if len(nodes) == 1 else name


def _name_of(code: str, registry: Registry) -> str:
    """Return the member's English name. Raises ConfigError UNKNOWN_MEMBER."""
    from difflib import get_close_matches

    if not registry.is_member(code):
        begun = sorted(state for state in registry.states if code and state.startswith(code))
        close = begun[:3] or get_close_matches(code, registry.states, n=1, cutoff=0.5)
        meant = " or ".join(f'"{one}"' for one in close)
        raise ConfigError(
            "UNKNOWN_MEMBER",
            f'"{code}" is neither a state nor an organisation',
            place=Place("MEMBER", 1, 1, excerpt=code, width=max(len(code), 1)),
            hint=(f"did you mean {meant}?" if close else "use an ISO 3166-1 alpha-3 code, such as FRA")
            + "; --own names a folder whose groups/ defines more",
        )
    return registry.states.get(code) or registry.groups[code].name or code


def _new_passphrase(passphrase: Passphrase, *, dev: bool) -> bytes:
    if dev and not passphrase.given:
        return secrets.token_hex(16).encode()
    return passphrase(new=True)


def _development(folder: Path, secret: bytes, *, given: bool) -> None:
    from intelshare.builtin import demo_treaties
    from intelshare.cli.shared.node_folder import DEVELOPMENT_FILE
    from intelshare.private_files import write_private

    if not given:
        write_private(folder / DEVELOPMENT_FILE, secret + b"\n")
    for name, text in demo_treaties().items():
        write_private(folder / "treaties" / name, text.encode())


async def _first_rows(
    target: Folder,
    settings: Settings,
    founded: Founded,
    known: MemberTrust | None,
    row: UserRow,
    certificate: bytes,
) -> None:
    from intelshare.broker.kernel.certificates import certificate_row
    from intelshare.broker.kernel.tables import TABLES
    from intelshare.node.establish import first_rows
    from intelshare.store.engines import Location, open_at

    store = open_at(Location(target.database), TABLES, founded.storage_key)
    try:
        plan = first_rows(
            settings,
            (founded.root,) if known is None else known.roots,
            founded.directory if known is None else None,
            (row,),
            (
                certificate_row(certificate, row.user),
                certificate_row(founded.node_leaf.certificate, founded.node.uri),
            ),
        )
        await store.perform(lambda _: plan)
    finally:
        store.close()


def _operator_profile(target: Folder, settings: Settings, founded: Founded, credentials: Credentials) -> None:
    from intelshare.client import Profile, write_profile

    write_profile(
        Profile(target.users / OPERATOR, settings.member, OPERATOR, "", "../..", founded.node.dns),
        credentials,
    )
