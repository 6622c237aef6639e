"""Every metric of a node: one row each. Whatever is not in this table cannot be measured.

A label's value is a word of a closed list, a member code or this node's URI: ``LABELS`` defines its form,
and a sample with any other value is refused. So no text of a bulletin, a peer or a user gets into a metric
(I15).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Type(StrEnum):
    """The types of metrics, as Prometheus' exposition format calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"


class From(StrEnum):
    """The source of a metric."""

    PROCESS = "the process, since its start"
    STORE = "rows of the store"
    ENGINE = "links and budgets, in memory"
    TRUST = "signed documents and keys"
    DISK = "the data folder"


LABELS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "budget": re.compile(r"[a-z_]{1,32}"),
        "code": re.compile(r"[A-Z][A-Z0-9_]{1,47}"),
        "event": re.compile(r"[a-z_.]{1,48}"),
        "file": re.compile(r"[a-z]{1,16}"),
        "level": re.compile(r"[a-z]{1,16}"),
        "member": re.compile(r"[A-Z]{2,16}"),
        "node": re.compile(r"intelshare://[A-Za-z0-9.-]{1,253}/node/[A-Za-z0-9._-]{1,64}"),
        "of": re.compile(r"record|journal"),
        "outcome": re.compile(r"[a-z]{1,16}"),
        "port": re.compile(r"[a-z_]{1,16}"),
        "precedence": re.compile(r"[a-z]{1,16}"),
        "reason": re.compile(r"[a-z_]{1,32}"),
        "stage": re.compile(r"[a-z_]{1,16}"),
        "use": re.compile(r"[a-z]{1,16}"),
        "version": re.compile(r"[0-9A-Za-z.+-]{1,32}"),
        "who": re.compile(r"user|peer|unknown"),
    }
)
"""The form of each label's value."""

HEALTH: Final = (
    "ACCESS_WAITS",
    "CERTIFICATE_UNUSABLE",
    "CLOCK",
    "DATA_LOCKED",
    "DISK_ERROR",
    "DISK_FULL",
    "DRAINING",
    "KEYSTORE_CORRUPT",
    "POLICY_UNAVAILABLE",
    "RECORD_CORRUPT",
    "RESOURCES_SHORT",
    "STOPPING",
    "STORE_UNAVAILABLE",
    "TOKEN_FAILED",
)
"""The codes that prevent serving and are always exported, so that an alert can wait for them."""


class Row(NamedTuple):
    """One metric."""

    name: str
    type: Type
    labels: tuple[str, ...]
    source: From
    help: str


def _row(name: str, source: From, text: str, *labels: str) -> Row:
    kind = Type.COUNTER if name.endswith("_total") else Type.GAUGE
    prefix = "" if name.startswith("process_") else "intelshare_"
    return Row(prefix + name, kind, labels, source, text)


_P, _S, _E, _T, _D = From.PROCESS, From.STORE, From.ENGINE, From.TRUST, From.DISK


class Metric(Enum):
    """The table of metrics."""

    # The process
    BUILD = _row("build_info", _P, "1; the version of the program, and its node.", "version", "node")
    STARTED = _row("start_time_seconds", _P, "When this node started, in seconds since 1970.")
    SERVING = _row("serving", _P, "1: the node serves. 0: a code prevents it.")
    CODE = _row("health", _P, "1: this code prevents serving.", "code")
    CODE_BEGUN = _row(
        "health_begun_total", _P, "Number of times that this code began to prevent serving.", "code"
    )
    LEADS = _row(
        "leads", _P, "1: this process has the links and does the chores. 0: another replica of the node does."
    )
    MEMORY = _row("process_resident_memory_bytes", _P, "Memory that the process has in RAM.")
    PROCESSOR = _row("process_cpu_seconds_total", _P, "Processor time, user and system.")
    DESCRIPTORS = _row("process_open_fds", _P, "Open file descriptors.")
    MOST_DESCRIPTORS = _row("process_max_fds", _P, "File descriptors that the system allows.")
    LINES = _row("log_lines_total", _P, "Lines written into the log.", "event", "level")
    REFUSALS = _row("refusals_total", _P, "Calls that were refused.", "who", "code")
    # Ports
    CONNECTIONS = _row("port_connections", _P, "Open connections.", "port")
    MOST_CONNECTIONS = _row("port_connections_limit", _P, "Connections that the port may have.", "port")
    UNKNOWN = _row(
        "port_connections_unproved", _P, "Connections that have not proved their identity.", "port"
    )
    MOST_UNKNOWN = _row(
        "port_connections_unproved_limit", _P, "Unproved connections that the port may have.", "port"
    )
    ENDED = _row(
        "port_connections_ended_total", _P, "Connections turned away or ended by the gate.", "port", "reason"
    )
    # Peers
    NODES = _row("peer_nodes", _T, "Nodes that the member's directory lists.", "member")
    LINKS_HERE = _row(
        "peer_links_here",
        _E,
        "1: this process has the links with the member. 0: another replica has, and shows the rest.",
        "member",
    )
    LINKED = _row("peer_nodes_linked", _E, "Of those, nodes with an open link.", "member")
    LINKED_SINCE = _row(
        "peer_link_age_seconds",
        _E,
        "Time since the newest open link was opened. Absent if there is none.",
        "member",
    )
    UNSEEN = _row(
        "peer_unseen_seconds",
        _E,
        "Time since the last link to the member ended, or since the start; 0 while linked.",
        "member",
    )
    TROUBLE = _row(
        "peer_link_error", _E, "1: the last error code of the link to the member.", "member", "code"
    )
    OFFSET = _row(
        "peer_clock_offset_seconds",
        _E,
        "The peer's clock minus this one: the largest among its nodes.",
        "member",
    )
    LEFT_OUT = _row(
        "peer_left_out",
        _T,
        "1: operators have suspended or removed the member, or must confirm it.",
        "member",
    )
    SHUT_OUT = _row("peer_shut_out", _P, "1: an authority of the member cannot be loaded.", "member")
    SPENT = _row(
        "budget_spent_total",
        _E,
        "Number of times that something came while the budget was spent.",
        "member",
        "budget",
    )
    BUDGET = _row("budget_limit", _P, "The most of a budget that one member may spend at once.", "budget")
    UNHEARD = _row(
        "peer_unheard_seconds",
        _S,
        "Time since the disk forgot: bulletins of the member from before wait unread until it was linked.",
        "member",
    )
    KEPT = _row("peer_kept_rows", _S, "Rows that the member has made this node keep for ever.", "member")
    KEPT_LIMIT = _row("peer_kept_limit_rows", _P, "Rows that one member may make this node keep for ever.")
    # Queues
    QUEUED = _row("queue_pairs", _S, "Pairs that are ready for hand-over.", "member", "precedence")
    QUEUE_AGE = _row(
        "queue_oldest_seconds", _S, "Age of the oldest pair that is ready.", "member", "precedence"
    )
    SENT = _row(
        "unacknowledged", _S, "Statements that the peer has not acknowledged.", "member", "precedence"
    )
    SENT_BYTES = _row("unacknowledged_bytes", _S, "Bytes of those statements.", "member", "precedence")
    SENT_AGE = _row(
        "unacknowledged_oldest_seconds", _S, "Age of the oldest of those statements.", "member", "precedence"
    )
    WAITS = _row("queue_open_pairs", _S, "Pairs that count towards the bound of the queue.", "member")
    WAITS_BYTES = _row("queue_open_bytes", _S, "Bytes of the bodies of those pairs.", "member")
    WAITS_ALL = _row(
        "queue_open_pairs_all", _S, "Pairs that count towards the bound for all members together."
    )
    WAITS_ALL_BYTES = _row("queue_open_bytes_all", _S, "Bytes of the bodies of those pairs.")
    BOUND = _row("queue_limit_pairs", _P, "Pairs that may wait for one member; only FLASH may use all of it.")
    BOUND_BYTES = _row("queue_limit_bytes", _P, "Bytes that may wait for one member.")
    BOUND_ALL = _row("queue_limit_pairs_all", _P, "Pairs that may wait for all members together.")
    BOUND_ALL_BYTES = _row("queue_limit_bytes_all", _P, "Bytes that may wait for all members together.")
    OPEN = _row(
        "pairs_open", _S, "Pairs that are not stopped, and have no receipt or go again beside one.", "stage"
    )
    GAPS = _row("stream_gaps", _S, "Missing numbers in the member's streams.", "member")
    FROZEN = _row(
        "streams_frozen",
        _S,
        "Streams of the member that are frozen because they contradicted themselves.",
        "member",
    )
    ALARMS = _row("alarms", _S, "Contradictions of the member that are not settled.", "member", "code")
    # Keys, certificates, documents
    CERTIFICATE = _row("certificate_remaining_seconds", _T, "Time until this node's certificate expires.")
    CERTIFICATE_LIFE = _row(
        "certificate_life_seconds", _T, "Time for which this node's certificate is valid in all."
    )
    KEY = _row("key_remaining_seconds", _T, "Time until the newest key of this use expires.", "use")
    DIRECTORY = _row(
        "directory_remaining_seconds",
        _T,
        "Time until the member's directory expires; includes this member's.",
        "member",
    )
    # The log
    ENTRIES = _row("log_entries", _S, "Entries of this incarnation's log.")
    LAGGING = _row("checkpoint_lag_entries", _S, "Entries after this node's last signed checkpoint.")
    CHECKPOINT = _row(
        "checkpoint_age_seconds", _S, "Time since this node last signed a checkpoint of its log."
    )
    THEIR_CHECKPOINT = _row(
        "peer_checkpoint_age_seconds", _S, "Time since the newest checkpoint held of the member.", "member"
    )
    # The store
    COMMITS = _row("store_commits_total", _P, "Transactions. Each needs at least one fsync of the WAL.")
    STEPS = _row("store_steps_total", _P, "Steps in those transactions.")
    JOURNALLED = _row("store_journalled_bytes_total", _P, "Bytes of sealed groups of rows.")
    MOVED = _row("store_rows_moved_total", _P, "Rows moved from memory into their tables.")
    WAITING = _row("store_waiting_bytes", _P, "Bytes of rows in memory that are not in their tables yet.")
    WAITING_LIMIT = _row(
        "store_waiting_limit_bytes", _P, "Bytes of such rows at which a full disk has steps refused."
    )
    STEPS_WAITING = _row("store_waiting_steps", _P, "Steps that wait for the writer.")
    FOLLOWED = _row(
        "store_followed_seconds",
        _P,
        "Time since this replica knew all that the others had committed. Absent: it runs alone.",
    )
    DAMAGED = _row("records_damaged", _P, "Records that were met damaged and are not settled.")
    MENDED = _row(
        "records_mended_total",
        _P,
        "Damaged records, or groups of the journal, by what became of them.",
        "of",
        "outcome",
    )
    FILE = _row("store_file_bytes", _D, "Size of a file of the store.", "file")
    FREE = _row("disk_free_bytes", _D, "Free space on the file system of the data folder.")
    SIZE = _row("disk_size_bytes", _D, "Size of that file system.")
    LOW = _row("disk_low_bytes", _P, "With less free space than this, only what is urgent is accepted.")
    RESERVE = _row("disk_reserve_bytes", _D, "Size of the reserve; 0: it was given up.")
    RESERVE_LIMIT = _row("disk_reserve_limit_bytes", _P, "Size that the reserve should have.")
    # Attachments
    ATTACHMENTS = _row("attachment_bytes", _P, "Bytes of attachments that are here.")
    ATTACHMENTS_LIMIT = _row("attachment_limit_bytes", _P, "Bytes that all attachments may take.")
    THEIR_ATTACHMENTS = _row(
        "peer_attachment_bytes", _P, "Of those, bytes that came from the member.", "member"
    )
    SHARE = _row("peer_attachment_limit_bytes", _P, "Bytes that the attachments of one member may take.")
    WANTED = _row("peer_attachments_wanted", _S, "Attachments of the member that are not whole.", "member")
    # Itself
    COST = _row("metrics_seconds", _P, "Time that the last computation of all metrics took.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its labels, in order."""
        return self.value.labels


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. Raises ValueError for labels that the table does not allow."""

    metric: Metric
    labels: tuple[str, ...]
    value: float

    def __post_init__(self) -> None:
        names = self.metric.labels
        fitting = len(names) == len(self.labels) and all(
            LABELS[name].fullmatch(value) for name, value in zip(names, self.labels, strict=True)
        )
        if not fitting:
            raise ValueError(f"{self.metric.value.name} has no such labels")
