"""Examines a node's report about itself: its health, its alarms, its certificates, its links."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from intelshare.cli.shared.codes import catalogue
from intelshare.cli.shared.findings import DRAINING, OK, WARNING, WRONG, Finding, by_code, drain_finding
from intelshare.instant import DAY, MAX_AHEAD, MINUTE, SECOND, Instant

if TYPE_CHECKING:
    from intelshare.wire.v1 import user_pb2 as pb

SKEW: Final = 30 * SECOND

ALONE: Final = 10 * MINUTE
"""The time after a start in which linked members usually have confirmed the clock."""

_ALONE: Final = (
    "link a member; a node that never has a link: compare the clock with another, then run "
    "`intelshare node clock --believe --folder FOLDER`"
)

SOON: Final = 2 * DAY
"""The time left that calls for a warning: renewal is due at half of the life, so something must be preventing
it.
"""


_OURS: Final = 'docs/runbook.md, "Evidence against a member": a peer says it of a node of yours'


def examine(status: pb.StatusResponse, now: Instant) -> Iterator[Finding]:
    """Yield the findings in this status."""
    from intelshare.cli.shared.tables import clock_line

    yield Finding(OK, "node", f"{status.node} answers, version {status.version}")
    for code in status.codes:
        if code == "CLOCK":
            yield not_believed(status.clock.now, status.clock.expected, status.clock.until)
        elif code == DRAINING:
            yield drain_finding("node", "it is being drained: it accepts no new bulletins", status.replica)
        else:
            yield by_code(WRONG, "node", code)
    if status.clock.believed and not status.clock.confirmed and now - status.started_at > ALONE:
        yield Finding(WARNING, "clock", clock_line(status.clock), _ALONE)
    for alarm in status.alarms:
        check, what = f"alarm {alarm.evidence.hex()[:8]}", f"{alarm.member}: {alarm.what}"
        ours = alarm.member == status.member
        yield (
            Finding(WRONG, check, what, _OURS, alarm.code)
            if ours
            else by_code(WRONG, check, alarm.code, what)
        )
    yield from _stores(status)
    yield from _ends("directory", status.directory_expires, now)
    yield from _ends("node certificate", status.certificate_expires, now, _SHORT)
    yield from _law(status.policy)
    if not status.peers:
        remedy = "`intelshare member export` and `import`, with the fingerprint over another channel"
        yield Finding(WARNING, "links", "no other member is known", remedy)
    for peer in status.peers:
        yield from _link(peer, now)
    for spent in status.budgets:
        yield _budget(spent)
    yield from (_kept(one) for one in status.kept if is_much(one))


def _stores(status: pb.StatusResponse) -> Iterator[Finding]:
    """Damaged records, and how much is kept."""
    from intelshare.cli.shared.operator_tables import kept_line

    if status.damaged:
        remedy = "`intelshare node repair --folder FOLDER` says which, and what settles each"
        what = f"{status.damaged} damaged records were met"
        yield Finding(WRONG, "records", what, remedy, "RECORD_CORRUPT")
    for kept in status.stores:
        tight = 10 * kept.rows >= 7 * kept.most_rows > 0 or 10 * kept.bytes >= 7 * kept.most_bytes > 0
        remedy = "ROUTINE is refused from 70 % on: `intelshare node queues --folder FOLDER`" if tight else ""
        yield Finding(WARNING if tight else OK, "kept", kept_line(kept).removeprefix("kept "), remedy)


def not_believed(now: int, expected: int, until: int) -> Finding:
    """Return a finding about a clock that is not believed: both times, and until when releases wait."""
    from intelshare.cli.shared.tables import clock_words

    remedy = (
        "compare this machine's clock with another and set it; if it is right, run: "
        "`intelshare node clock --believe --folder FOLDER`"
    )
    return Finding(WRONG, "clock", clock_words(now, expected, until), remedy, "CLOCK")


def _budget(spent: pb.SpentBudget) -> Finding:
    """Return a finding about a member that asks for more than its budget."""
    from intelshare.cli.shared.tables import duration

    now = f", and stays so for another {duration(spent.again)}" if spent.again else ""
    remedy = (
        "it recovers by itself; if it happens again, ask the member's operators what their node is doing, or "
        f"raise `{spent.name}` in [budgets] of node.toml"
    )
    what = f"{spent.name} was exceeded {spent.refused} times since the start{now}"
    return Finding(WARNING, f"budget {spent.member}", what, remedy, "RATE")


def is_much(kept: pb.KeptRows) -> bool:
    """Return True if a member is near the limit of what it may make this node keep permanently."""
    return kept.rows * 10 >= kept.most * 8


def _kept(kept: pb.KeptRows) -> Finding:
    """Report a member that fills this node's disk with rows that stay."""
    remedy = (
        "ask the member's operators what their node does; `intelshare member suspend` ends it; if all of "
        "it is honest, raise `kept_rows` in [queues] of node.toml"
    )
    state = WRONG if kept.rows >= kept.most else WARNING
    what = f"{kept.rows} of {kept.most} rows that it may make this node keep for ever"
    return Finding(state, f"kept {kept.member}", what, remedy, "RATE")


def _law(policy: pb.PolicyState) -> Iterator[Finding]:
    """Yield findings about which files have been in force since when, and with whom a text differs."""
    from intelshare.cli.shared.law import mismatch_words
    from intelshare.cli.shared.tables import short_time

    for one in policy.files:
        what = f"{one.file}, sha256:{one.digest.hex()[:12]}, in force since {short_time(one.since)}"
        yield Finding(OK, f"law {one.about}", what)
    for mismatch in policy.mismatches:
        remedy = (
            f"nothing can be shared between you and {mismatch.member} under it: compare the files with its "
            f"operators (`intelshare treaty show {mismatch.treaty} --as FOLDER` prints the whole hash)"
        )
        yield Finding(WARNING, f"treaty {mismatch.treaty}", mismatch_words(mismatch), remedy, "TEXT_MISMATCH")


def lies_otherwise(status: pb.StatusResponse, lying: bytes) -> Iterator[Finding]:
    """Yield a finding if the files in the folder are not those by which the node decides."""
    if status.policy.digest and status.policy.digest != lying:
        remedy = "it reads them within seconds; if this persists, its log says why (policy.failed)"
        yield Finding(WARNING, "policy", "the node decides by files other than those in its folder", remedy)


_SHORT: Final = ", unless it is issued for a day or two"


def _ends(check: str, expires: int, now: Instant, unless: str = "") -> Iterator[Finding]:
    if not expires:
        return
    left = (expires - now) / DAY
    if expires <= now:
        yield Finding(
            WRONG, check, "has expired", "see the node's log for why it was not renewed", "TRUST_EXPIRED"
        )
    elif expires - now < SOON:
        remedy = f"it should have been renewed by now{unless}: look for renewal_failed in the node's log"
        yield Finding(WARNING, check, f"expires in {left:.1f} days", remedy)
    else:
        yield Finding(OK, check, f"expires in {left:.1f} days")


_NOT_LINKED: Final = {
    "removed": (OK, "removed by this node's operators", "", "MEMBER_REMOVED"),
    "unconfirmed": (
        WARNING,
        "not confirmed since this node lost memory",
        "`intelshare node confirm-access --folder FOLDER`, or `intelshare member suspend {member}`",
        "MEMBER_UNCONFIRMED",
    ),
    "suspended": (
        WARNING,
        "suspended by this node's operators",
        "it waits until `intelshare member resume {member}`",
        "MEMBER_SUSPENDED",
    ),
    "expired": (
        WRONG,
        "its directory has expired",
        "its node must be running to renew it: contact its operators; of all members at once: is this "
        "machine's clock ahead?",
        "TRUST_EXPIRED",
    ),
    "elsewhere": (OK, "another replica of this node has the link", "", ""),
}
"""The findings about a peer without a link, by its state: how bad it is, what was found, what to do, code."""


_REACH: Final = "check whether its node is running and can be reached"

_UNANSWERED: Final = {
    "NODE_UNREACHABLE": f'{_REACH}: docs/runbook.md, "Link down"',
    "TLS_REFUSED": "its node refuses this node's certificate, or the other way round: check both "
    "clocks and certificates, and ask whether its operators have removed this member: docs/runbook.md, "
    '"Link down"',
}
"""Remedies for another member's node that has said nothing: the catalogue speaks to users of this one."""


def _link(peer: pb.PeerStatus, now: Instant) -> Iterator[Finding]:
    check = f"link {peer.member}"
    waits = peer.queued + peer.unacknowledged
    waiting = f", {waits} waiting" if waits else ""
    if peer.reading_waits:
        remedy = (
            f"it ends once {peer.member} was linked for a minute; or: `intelshare node allow-reading "
            f"{peer.member} --reason TEXT --folder FOLDER`"
        )
        what = "nobody reads what it sent before this node lost memory, and what bundles bring since"
        yield Finding(WARNING, check, what, remedy, "READING_WAITS")
    decided = peer.state in ("removed", "unconfirmed", "suspended")
    state = "expired" if not decided and peer.directory_expires < now else peer.state
    if state in _NOT_LINKED:
        how, what, remedy, code = _NOT_LINKED[state]
        yield Finding(how, check, f"{what}{waiting}", remedy.format(member=peer.member), code)
    elif state == "linked":
        yield Finding(OK, check, f"linked{waiting}")
        yield from _linked(peer, check)
    else:
        known = catalogue().get(peer.last_error)
        remedy = known.next if known is not None else _REACH
        remedy = _UNANSWERED.get(peer.last_error, remedy)
        yield Finding(WARNING, check, f"{state}{waiting}", remedy, peer.last_error)


def _linked(peer: pb.PeerStatus, check: str) -> Iterator[Finding]:
    """Yield the troubles between two nodes that are linked."""
    if peer.frozen_streams:
        remedy = (
            f"look at `intelshare audit evidence`, call its operators, then: intelshare node release-stream "
            f"{peer.member} --reason TEXT --folder FOLDER"
        )
        what = f"{peer.frozen_streams} stream(s) are frozen"
        yield Finding(WRONG, check, what, remedy, "SEQUENCE_FORK")
    if peer.forgot or peer.peer_forgot:
        sides = ((peer.forgot, "log entries were forgotten here"), (peer.peer_forgot, "numbers there"))
        what = ", ".join(f"{count} {words}" for count, words in sides if count)
        remedy = 'docs/runbook.md, "Restored backup"'
        yield Finding(WARNING, check, what, remedy, "LOG_FORGOT")
    offset = abs(peer.clock_offset)
    if offset > SKEW:
        state = WRONG if offset > MAX_AHEAD else WARNING
        ahead = "ahead of" if peer.clock_offset > 0 else "behind"
        remedy = "compare both clocks with a time server, and set the one that is wrong"
        yield Finding(
            state, f"clock {peer.member}", f"{offset / SECOND:.0f} s {ahead} ours", remedy, "CLOCK_SKEW"
        )
