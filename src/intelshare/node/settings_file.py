"""Reads and writes ``node.toml``. Reading is strict; errors name the line."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.crypto.pieces import MAX_FILE
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import NODE_LIFETIME, USER_LIFETIME
from intelshare.engine import BUDGETS, Budget, ConnectionLimits, Rate, SpaceLimits
from intelshare.errors import ConfigError, Place, PolicyFileError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import DAY, HOUR, SECOND
from intelshare.node.settings import ALL_FILES, MIB, MOST_DAYS, RETENTION, Settings, usual_share
from intelshare.private_files import read_trusted
from intelshare.store.server import SCHEMA, Server, wrong_schema, wrong_url
from intelshare.text import bracketed
from intelshare.toml import Table, quoted, read_table
from intelshare.trust import LONGEST, USUAL
from intelshare.vault import KEY, TokenPlace

_CONNECTIONS: Final = {
    field.name: SECOND if field.name in ("prove", "silence") else 1 for field in fields(ConnectionLimits)
}
"""The bounds of a port that node.toml may set, each with its unit there."""


_QUEUES: Final = {
    "rows": ("bulletins", 1),
    "size": ("mib", 1 << 20),
    "all_rows": ("all_bulletins", 1),
    "all_size": ("all_mib", 1 << 20),
    "kept": ("kept_rows", 1),
}
"""The bounds of queues, with name and unit in node.toml."""


_MOST_HOURS: Final = 24 * 365 * 100


_MOST_QUEUED: Final = 1 << 40


_MOST: Final = 65_536


_MOST_BUDGET: Final = 1 << 40


_ISSUED: Final = ("node_authority", "node_certificate", "node_key")
"""The files of a node whose certificate another authority issues."""


_FILES: Final = ("user_authority", *_ISSUED)


def write_settings(settings: Settings) -> str:
    """Return the text of a ``node.toml`` that states exactly these settings."""
    lines = [
        "# Who this node is. Keys are in vault/, treaties in treaties/, national rules in overlays/.",
        f"member = {quoted(settings.member)}",
        f"node = {quoted(settings.node)}",
        "# Suite of new keys, and the lowest suite accepted from other members (docs/operations.md).",
        f"suite = {settings.suite}",
        f"floor = {settings.floor}",
        *_write_addresses(settings),
        *_write_bounds(settings),
        *_write_kept(settings),
        *_write_keys(settings),
        *_write_metrics(settings),
        *write_store(settings.store),
        *_write_token(settings.token),
    ]
    for member, dial in sorted(settings.dial_member.items()):
        lines += ["", "[[peers.member]]", f"code = {quoted(member)}", f"dial = {_flag(dial)}"]
    return "\n".join(lines) + "\n"


def _write_addresses(settings: Settings) -> list[str]:
    return [
        "",
        "[listen]",
        f"host = {quoted(settings.host)}",
        "# 0: the port of the last start if it is free, otherwise any free port; run.json has the real ones.",
        f"peer_port = {settings.peer_port}",
        f"user_port = {settings.user_port}",
        "# What peers dial, if it differs from the host above:",
        f"advertise = {quoted(settings.advertise)}" if settings.advertise else '# advertise = "node.example"',
        "",
        "[peers]",
        "# true only where several members share one machine.",
        f"allow_loopback_peers = {_flag(settings.allow_loopback_peers)}",
        "# false: this node never dials; peers have to connect to it.",
        f"dial = {_flag(settings.dial)}",
    ]


def _write_bounds(settings: Settings) -> list[str]:
    """The bounds on what others may take of this node."""
    connections, queues, space = ConnectionLimits(), QueueBounds(), SpaceLimits()
    return [
        "",
        "[connections]",
        "# Limits of each port; values after # are the defaults in effect.",
        *(
            _default_or(_in_file(name, unit), settings.connections, connections, name, unit)
            for name, unit in _CONNECTIONS.items()
        ),
        "",
        "[budgets]",
        "# What one member may ask of this node; values after # are the defaults in effect.",
        *(_write_budget(budget, rate, settings) for budget, rate in BUDGETS.items()),
        "",
        "[queues]",
        "# How much may wait: for one recipient, and in total. ROUTINE may fill 70 % of it, FLASH all of it.",
        "# kept_rows: the rows that one member may make this node keep permanently (decision 56).",
        *(_default_or(key, settings.queues, queues, name, unit) for name, (key, unit) in _QUEUES.items()),
        "",
        "[disk]",
        "# With less free space than this, only FLASH, receipts and recalls are accepted. The reserve is a "
        "file that",
        "# is given up for them when the disk is full (decision 45).",
        *(_default_or(f"{name}_mib", settings.space, space, name, MIB) for name in ("low", "reserve")),
    ]


def _write_kept(settings: Settings) -> list[str]:
    """The bounds on what is kept here, and the time."""
    usual = usual_share(settings.largest_file, settings.all_files)
    return [
        "",
        "[retention]",
        "# Hours for which content is kept here after its delivery; 0: for ever. Choose more than the age of",
        "# your partners' backups: what they lose after that, nobody can send them again (decision 45).",
        _default("delivered_hours", settings.retention // HOUR, RETENTION // HOUR),
        "",
        "[files]",
        "# Attachments: the largest that is sent or fetched, and all together.",
        f"largest_mib = {settings.largest_file // MIB}",
        f"total_mib = {settings.all_files // MIB}",
        "# Those of one peer together, so that none takes all the room. Default: a quarter of the total.",
        _default("peer_mib", settings.peer_files // MIB, usual // MIB),
    ]


def _write_keys(settings: Settings) -> list[str]:
    files = {name: getattr(settings, name) for name in _FILES}
    return [
        "",
        "[certificates]",
        "# Validity in days. Users renew in the last third of it, the node at half of it.",
        f"user_days = {settings.user_lifetime // DAY}",
        f"node_days = {settings.node_lifetime // DAY}",
        "# Files of another authority, if it issues certificates instead of the vault's "
        "(docs/operations.md).",
        *(f"{name} = {quoted(value)}" if value else f"# {name} = " for name, value in files.items()),
        "",
        "[keys]",
        "# Days after which a new key is made. The old keys overlap, then their secrets are destroyed.",
        f"signing_days = {settings.signing_period // DAY}",
        f"sealing_days = {settings.sealing_period // DAY}",
    ]


def _write_metrics(settings: Settings) -> list[str]:
    at = ":".join((bracketed(settings.metrics_host), str(settings.metrics_port)))
    return [
        "",
        "[metrics]",
        "# Where Prometheus on this machine finds the metrics (docs/metrics.md): a loopback address.",
        f'listen = "{at}"' if settings.metrics_host else '# listen = "127.0.0.1:9464"',
    ]


def _write_budget(budget: Budget, rate: Rate, settings: Settings) -> str:
    most = settings.budgets.get(budget, rate).most
    return f"{_default(budget, most, rate.most)}  # full again after {rate.fill // SECOND} s"


def _default_or(key: str, chosen: object, usual: object, name: str, unit: int) -> str:
    """The line of one field of two records: what was chosen, and the default."""
    return _default(key, getattr(chosen, name) // unit, getattr(usual, name) // unit)


def _default(key: str, value: int, usual: int) -> str:
    """The line of a setting; behind # if it is the default."""
    return f"{'# ' if value == usual else ''}{key} = {value}"


def _flag(value: bool) -> str:
    return str(value).lower()


def write_store(server: Server | None) -> list[str]:
    """The lines of node.toml that say where the rows are; none for the folder's own file."""
    if server is None:
        return []
    return [
        "",
        "[store]",
        "# The PostgreSQL that holds the rows (docs/operations.md); `intelshare node move` writes this.",
        f"url = {quoted(server.url)}",
        f"schema = {quoted(server.schema)}",
        *([f"password_file = {quoted(server.password_file)}"] if server.password_file else []),
    ]


def _write_token(place: TokenPlace | None) -> list[str]:
    if place is None:
        return []
    return [
        "",
        "[token]",
        "# Where new signing keys are made (PKCS #11; docs/operations.md).",
        f"module = {quoted(place.module)}",
        f"label = {quoted(place.token)}",
        f"key = {quoted(place.key)}",
        *([f"pin_file = {quoted(place.pin_file)}"] if place.pin_file else []),
    ]


def with_store(text: str, server: Server | None) -> str:
    """The text of a ``node.toml`` with another ``[store]``; all else stays as somebody has written it."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            inside = line.strip() == "[store]"
        if not inside:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return "\n".join((*kept, *write_store(server))) + "\n"


_DAMAGED: Final = (
    "mend it there, or put the file of any backup in its place (BACKUP/folder/node.toml): a restore of the "
    "whole folder would forget more"
)


def read_settings(path: Path) -> Settings:
    """Return the settings in a file. Raises ConfigError NOT_FOUND, UNSAFE_FILE, FILE_SYNTAX, FIELD_* with the
    line.
    """
    try:
        text = read_trusted(path).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "NOT_FOUND",
            f"{path} does not exist",
            hint="is the data folder called so, and its disk mounted? For a new member: `intelshare init`",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("FILE_SYNTAX", "this is not UTF-8", place=Place(str(path)), hint=_DAMAGED) from None
    try:
        return _read(read_table(text, str(path)))
    except PolicyFileError as error:
        hint = error.hint or (_DAMAGED if error.code == "FILE_SYNTAX" else None)
        raise ConfigError(error.code, error.message, place=error.place, hint=hint) from None


def check_named(settings: Settings, path: Path, node: NodeUri, member: MemberCode) -> None:
    """Check that the file names the node and the member whose keys, or whose directory, the folder holds.

    Raises ConfigError ID_CONFLICT: a name that is wrong by a letter is a name like any other, and nothing
    that it leads to would be found.
    """
    for field, named, held in (("node", settings.node, node), ("member", settings.member, member)):
        if named != held:
            raise ConfigError(
                "ID_CONFLICT",
                f"{field} is {named}, but this folder holds the keys of {held}",
                place=Place(str(path), field=field),
                hint=_DAMAGED,
            )


def _read(top: Table) -> Settings:
    listen, peers, connections = top.table("listen"), top.table("peers"), top.table("connections")
    files, budgets, queues = top.table("files"), top.table("budgets"), top.table("queues")
    disk, retention = top.table("disk"), top.table("retention")
    certificates = top.table("certificates")
    keys = top.table("keys")
    members = peers.tables("member")
    metrics, store, token = top.table("metrics"), top.table("store"), top.table("token")
    metrics_host, metrics_port = _loopback(metrics)
    largest = _mib(files, "largest_mib", MAX_FILE, most=MAX_FILE)
    all_files = _mib(files, "total_mib", ALL_FILES, most=1 << 62)
    settings = Settings(
        member=MemberCode(top.text("member")),
        node=NodeUri(top.text("node")),
        suite=_suite(top, "suite"),
        floor=_suite(top, "floor"),
        host=listen.text_or("host", "127.0.0.1"),
        peer_port=_port(listen, "peer_port"),
        user_port=_port(listen, "user_port"),
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        advertise=listen.text_or("advertise", ""),
        allow_loopback_peers=peers.flag("allow_loopback_peers"),
        dial=not peers.has("dial") or peers.flag("dial"),
        largest_file=largest,
        all_files=all_files,
        peer_files=_mib(files, "peer_mib", usual_share(largest, all_files), most=1 << 62),
        user_lifetime=_days(certificates, "user_days", USER_LIFETIME),
        node_lifetime=_days(certificates, "node_days", NODE_LIFETIME),
        **{name: certificates.text_or(name, "") for name in _FILES},
        signing_period=_period(keys, "signing_days", USUAL.signing, most=LONGEST.signing),
        sealing_period=_period(keys, "sealing_days", USUAL.sealing, most=LONGEST.sealing),
        dial_member={MemberCode(row.text("code")): row.flag("dial") for row in members},
        connections=_connections(connections),
        budgets=_budgets(budgets),
        queues=_queues(queues),
        space=_space(disk),
        retention=_hours(retention),
        store=_store(store),
        token=_token(token),
    )
    given = [name for name in _ISSUED if getattr(settings, name)]
    if given not in ([], ["node_authority"]) and len(given) < len(_ISSUED):
        certificates.fail("FIELD_RANGE", "a certificate needs its key and its authority", given[-1])
    sections = (
        *(metrics, keys, certificates, files, disk),
        *(store, token, retention, queues, budgets, connections, peers, listen),
    )
    for table in (*members, *sections, top):
        table.close()
    return settings


def _store(store: Table) -> Server | None:
    if not store.has("url"):
        return None
    server = Server(store.text("url"), store.text_or("schema", SCHEMA), store.text_or("password_file", ""))
    for key, wrong in (("url", wrong_url(server.url)), ("schema", wrong_schema(server.schema))):
        if wrong is not None:
            store.fail("FIELD_RANGE", wrong, key)
    return server


def _token(token: Table) -> TokenPlace | None:
    if not token.has("module"):
        return None
    place = TokenPlace(
        token.text("module"), token.text("label"), token.text_or("key", KEY), token.text_or("pin_file", "")
    )
    if not Path(place.module).is_absolute():
        token.fail("FIELD_RANGE", "this is the whole path of the module's library", "module")
    return place


def _connections(connections: Table) -> ConnectionLimits:
    read = {}
    for name, unit in _CONNECTIONS.items():
        key = _in_file(name, unit)
        if connections.has(key):
            read[name] = connections.integer_or(key, 0) * unit
            if not 1 <= read[name] // unit <= _MOST:
                connections.fail("FIELD_RANGE", f"1 to {_MOST}", key, value=read[name] // unit)
    return replace(ConnectionLimits(), **read)


def _budgets(budgets: Table) -> dict[Budget, Rate]:
    read: dict[Budget, Rate] = {}
    for budget, rate in BUDGETS.items():
        if budgets.has(budget):
            most = budgets.integer_or(budget, 0)
            if not 1 <= most <= _MOST_BUDGET:
                budgets.fail("FIELD_RANGE", f"1 to {_MOST_BUDGET}", budget, value=most)
            read[budget] = Rate(most, rate.fill)
    return read


def _queues(queues: Table) -> QueueBounds:
    read = {}
    for name, (key, unit) in _QUEUES.items():
        if queues.has(key):
            read[name] = queues.integer_or(key, 0) * unit
            if not 1 <= read[name] <= _MOST_QUEUED:
                queues.fail("FIELD_RANGE", f"1 to {_MOST_QUEUED // unit}", key, value=read[name] // unit)
    return replace(QueueBounds(), **read)


def _hours(retention: Table) -> int:
    hours = retention.integer_or("delivered_hours", RETENTION // HOUR)
    if not 0 <= hours <= _MOST_HOURS:
        retention.fail("FIELD_RANGE", f"must be 0 to {_MOST_HOURS} hours", "delivered_hours", value=hours)
    return hours * HOUR


def _space(disk: Table) -> SpaceLimits:
    usual = SpaceLimits()
    low = _mib(disk, "low_mib", usual.low, most=_MOST_QUEUED)
    reserve = _mib(disk, "reserve_mib", usual.reserve, most=_MOST_QUEUED)
    return SpaceLimits(low, reserve, min(usual.give, low // 4))


def _in_file(name: str, unit: int) -> str:
    return f"{name}_seconds" if unit == SECOND else name


def _suite(top: Table, name: str) -> int:
    number = top.integer_or(name, 1)
    if number not in SUITES:
        top.fail("FIELD_RANGE", f"the suites are {', '.join(map(str, SUITES))}", name, value=number)
    return number


def _mib(files: Table, name: str, usual: int, *, most: int) -> int:
    number = files.integer_or(name, usual // MIB)
    if not 0 <= number <= most // MIB:
        files.fail("FIELD_RANGE", f"must be 0 to {most // MIB}", name, value=number)
    return number * MIB


def _days(certificates: Table, name: str, usual: int) -> int:
    number = certificates.integer_or(name, usual // DAY)
    if not 1 <= number <= MOST_DAYS:
        certificates.fail("FIELD_RANGE", f"must be 1 to {MOST_DAYS} days", name, value=number)
    return number * DAY


def _period(keys: Table, name: str, usual: int, *, most: int) -> int:
    days = keys.integer_or(name, usual // DAY)
    if not 1 <= days <= most // DAY:
        keys.fail("FIELD_RANGE", f"must be 1 to {most // DAY}", name, value=days)
    return days * DAY


def _loopback(metrics: Table) -> tuple[str, int]:
    """Return address and port of ``listen``, or "" and 0 if there is none."""
    text = metrics.text_or("listen", "")
    if not text:
        return "", 0
    host, _, port = text.rpartition(":")
    with suppress(ValueError):
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        if address.is_loopback and port.isascii() and port.isdigit() and int(port) < _MOST:
            return str(address), int(port)
    return metrics.fail(
        "FIELD_RANGE", "must be a loopback address of this machine and a port: 127.0.0.1:9464", "listen"
    )


def _port(listen: Table, name: str) -> int:
    port = listen.integer_or(name, 0)
    if not 0 <= port <= 65535:
        listen.fail("FIELD_RANGE", "a port must be 0 to 65535", name, value=port)
    return port
