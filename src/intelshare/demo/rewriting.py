"""Somebody who has a member's disk and keys rewrites its log; a peer's checkpoint reveals it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from intelshare.audit import EntryType
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.node_folder import Passphrase
from intelshare.cli.shared.tables import short_time
from intelshare.demo.forger import forge
from intelshare.demo.scenario import unmet
from intelshare.demo.stage import Site, Stage, command, indented, report, say, until
from intelshare.instant import HOUR

_LOOK: Final = 0.2
"""The seconds between looks at what a witness holds: a checkpoint comes every 5 s at most."""

_SHOWN: Final = re.compile(r"history rewritten at entry (\d+)(?: or after it, before entry (\d+))?")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Whose log is rewritten, which kind of entry, and who notices."""

    member: str
    entry: EntryType
    what: str
    """The content of such an entry, in words."""
    witness: str


def rewriting(stage: Stage, story: Rewriting) -> list[str]:
    """Verify all logs; rewrite one; the witness notices, and can prove it to anybody."""
    forged, witness = stage.sites[story.member], stage.sites[story.witness]
    folder, witnessing = ("--folder", str(forged.folder)), ("--folder", str(witness.folder))
    say(f"{len(stage.sites)} logs verified, {_verified(stage)} entries.")
    # What the witness can prove to a third party is what it has proved to itself.
    until(
        lambda: _holds_all(witness, forged),
        f"{story.witness} to hold all of {story.member}'s log",
        look=_LOOK,
    )
    for member, count in sorted(_held(witness).items()):
        state = f"a signed state of {count} entries, and proof how it grew"
        say(f"{story.witness} holds of {member}'s log {state}.")
    forged.stop()
    edited = forge(forged.folder, Passphrase(None, None, forged.folder)(), story.entry, HOUR)
    say(
        f"{story.member}'s node is stopped. Entry {edited.place} of its log ({story.what}) is dated back, "
        f"from {short_time(edited.before)}"
    )
    say(f"to {short_time(edited.after)}, and the hash tree is computed again.")
    # Whether the member itself can find out is up to the forger; that others do is not.
    own = report("audit", "verify", *folder, ends=(Exit.DONE, Exit.NOT_VERIFIED))["findings"]
    say(f"{story.member} itself, asked to verify its log: {'; '.join(own) if own else 'every entry fits'}.")
    forged.start()
    forged.serving()
    found = until(lambda: _narrowed(witness, story.member, edited.place), f"{story.witness} to notice")
    say(f"its node has started again; {story.witness}'s `audit evidence`:")
    command("audit", "evidence", *witnessing, out=indented(sys.stdout))
    file = stage.folder / f"evidence-against-{story.member}.json"
    command("audit", "export", found["evidence"], *witnessing, "--out", str(file), "--quiet")
    say("the same as a file, checked by a third party without a node:")
    # Whoever has cosigned is in the file too, and that depends on who was quick enough.
    sources = [("--member", str(stage.folder / f"{code}.member")) for code in sorted(stage.sites)]
    checking = ("audit", "check-evidence", str(file), *chain.from_iterable(sources))
    proved = report(*checking)
    seen = sorted({one["member"] for signed in proved["statements"] for one in signed["seen"]})
    by = f"; {', '.join(seen)} had seen what it signed before" if seen else ""
    say(f"proved: {proved['member']} has contradicted itself: {proved['what']}{by}")
    return unmet(
        {
            f"it is shown as {found['code']}": found["code"] == "LOG_INCONSISTENT",
            f"it accuses {proved['member']}": proved["member"] == story.member,
            f"it proves: {proved['what']}": proved["what"] == found["what"],
            "an honest member is accused": not any(
                _evidence(site, code)
                for site in stage.sites.values()
                for code in stage.sites
                if code != story.member
            ),
        }
    )


def _verified(stage: Stage) -> int:
    """Have every node read its whole log again; return how many entries. Raises ConfigError if one does not
    verify.
    """
    logs = [report("audit", "verify", "--folder", str(site.folder))["logs"] for site in stage.sites.values()]
    return sum(int(log["size"]) for found in logs for log in found)


def _held(witness: Site) -> dict[str, str]:
    """Entries of each other log that the witness holds a checkpoint of."""
    held = report("audit", "head", "--folder", str(witness.folder))["held"]
    return {one["member"]: one["size"] for one in held}


def _holds_all(witness: Site, of: Site) -> bool:
    """Return true if the witness has a proved checkpoint of everything that a node's log has now."""
    log = report("audit", "head", "--folder", str(of.folder))
    held = report("audit", "head", "--folder", str(witness.folder))["held"]
    return (of.code, "proved", log["entries"]) in {(one["member"], one["state"], one["size"]) for one in held}


def _evidence(site: Site, against: str) -> dict[str, Any] | None:
    """Return a node's evidence against a member's log, if it has any."""
    alarms = report("audit", "evidence", "--folder", str(site.folder))["alarms"]
    logs = (one for one in alarms if one["member"] == against and one["code"].startswith("LOG_"))
    return next(logs, None)


def _narrowed(site: Site, against: str, place: int) -> dict[str, Any] | None:
    """Return the evidence once it names this entry, and no longer everything before it: older checkpoints
    show how far back the log is still valid.
    """
    found = _evidence(site, against)
    said = _SHOWN.fullmatch(found["what"]) if found is not None else None
    if said is None:
        return None
    first = int(said[1])
    return found if 0 < first <= place < int(said[2] or first + 1) else None
