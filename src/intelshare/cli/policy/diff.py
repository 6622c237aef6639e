"""``policy diff``: the effect of a change between two folders or two commits."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.policy.effects import build_world, world_of
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.markdown import markdown_table
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place, PolicyFileError

if TYPE_CHECKING:
    from intelshare.policy import World
    from intelshare.policy_tools import Effect

CHANGED = 2
"""The exit code if something differs, as with ``terraform plan -detailed-exitcode``."""


@click.command(
    epilog=examples("intelshare policy diff main..HEAD", "intelshare policy diff old/ new/ --only-widening")
)
@click.argument("sides", nargs=-1, required=True)
@click.option(
    "--path", default=".", show_default=True, help="With BASE..HEAD: the folder that contains the policy."
)
@click.option(
    "--only-widening", is_flag=True, help="Show only what becomes releasable, and exit with 2 only for that."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown")),
    default="text",
    show_default=True,
    help="Output format; markdown is for a pull request.",
)
@printing
def diff(sides: tuple[str, ...], path: str, only_widening: bool, form: str, out: Out) -> int:
    """Show the effect of a change: what becomes releasable and what no longer is.

    SIDES is BASE..HEAD (git commits or branches; BASE...HEAD starts where the two diverged) or two folders.
    The labels compared name both members in REL TO; changes in ladders/, groups/ and words/ are shown
    separately. Exits with 0 if nothing differs, with 2 if something does.
    """
    from intelshare.policy_tools import effects, registry_changes

    base, head = _worlds(sides, path)
    found = [effect for effect in effects(base, head) if effect.widens or not only_widening]
    changes = registry_changes(base.registry, head.registry, moment(None))
    own = [change.text for change in changes if change.widens or not only_widening]
    if out.json or form == "json":
        effect_documents = [effect_document(effect) for effect in found]
        Out(json=True).document("policy-diff", {"effects": effect_documents, "own": own})
    elif form == "markdown":
        out.block(_markdown(found, own))
    else:
        if found:
            out.table(effect_table(found))
        for line in own:
            out.line(line)
    if form == "text":
        same = "no decision changes" if own else "the effect of the policy is the same"
        out.line(effects_counted(found) if found else same)
    return CHANGED if found or own else 0


def _worlds(sides: tuple[str, ...], path: str) -> tuple[World, World]:
    if len(sides) == 1 and ".." in sides[0]:
        dots = "..." if "..." in sides[0] else ".."
        base, head = (_commit(ref or "HEAD") for ref in sides[0].split(dots, 1))
        if dots == "...":
            base = _git(sides[0], "merge-base", base, head).decode().strip()
        return _at_commit(base, path), _at_commit(head, path)
    if len(sides) == 2:
        return world_of((Path(sides[0]),)), world_of((Path(sides[1]),))
    raise ConfigError("INPUT_INVALID", "give BASE..HEAD or two folders", place=Place("SIDES"))


def _commit(ref: str) -> str:
    """Return the id of a commit, so that no name is ever mistaken for an option. Raises ConfigError
    NOT_FOUND.
    """
    found = _git(ref, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return found.decode().strip()


def _at_commit(commit: str, path: str) -> World:
    """Return the world as of a commit. Raises ConfigError NOT_FOUND, PolicyFileError."""
    from intelshare.cli.policy.files import Files, is_policy

    files = Files()
    listed = _git(commit, "ls-tree", "-r", "-z", "--name-only", commit, "--", path)
    for name in listed.decode("utf-8", "replace").split("\0"):
        if name and is_policy(Path(name)):
            files.add(Path(name))

    def read(file: Path) -> str:
        try:
            return _git(commit, "cat-file", "blob", f"{commit}:./{file.as_posix()}").decode("utf-8")
        except UnicodeDecodeError:
            raise PolicyFileError("FILE_SYNTAX", "this is not UTF-8", place=Place(str(file))) from None

    return build_world(files, read)


def _git(ref: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise ConfigError("NOT_FOUND", f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        message = f"git does not know {ref!r} here" + (f": {said}" if said else "")
        raise ConfigError("NOT_FOUND", message, place=Place("SIDES"))
    return done.stdout


_COLUMNS = ("", "from", "to", "category", "levels", "since", "until", "before", "after")
_SHOWN = 12
"""The most members that one cell lists."""


def effect_table(found: list[Effect]) -> Table:
    """Return the effects as a table, with members who may all do the same in one row."""
    return Table(_COLUMNS, _rows(found))


def _rows(found: list[Effect]) -> list[tuple[str, ...]]:
    """Yield one row for all recipients whose lines are otherwise the same, and one for members among each
    other.
    """
    from intelshare.labels import when

    recipients: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for effect in found:
        rest: tuple[str, ...] = (
            "+" if effect.widens else "-",
            effect.category if effect.flag is None else f"{effect.category} +{effect.flag}",
            " ".join(level.name for level in effect.levels),
            when(effect.start).removesuffix("T00:00:00Z"),
            when(effect.until).removesuffix("T00:00:00Z"),
            effect.before,
            effect.after,
        )
        recipients.setdefault((effect.sender, rest), set()).add(effect.recipient)
    circles: dict[tuple[frozenset[str], tuple[str, ...]], list[str]] = {}
    for (sender, rest), others in recipients.items():
        circles.setdefault((frozenset((sender, *others)), rest), []).append(sender)
    rows: list[tuple[str, ...]] = []
    for (members, rest), senders in circles.items():
        if len(senders) == len(members) > 2:
            rows.append((rest[0], _list(members), "each other", *rest[1:]))
        else:
            rows += [(rest[0], sender, _list(members - {sender}), *rest[1:]) for sender in senders]
    return rows


def _list(members: Collection[str]) -> str:
    shown = sorted(members)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return " ".join(shown[:_SHOWN]) + more


def _markdown(found: list[Effect], own: list[str]) -> str:
    if not (found or own):
        return "The effect of the policy is the same."
    lines = "".join(f"- {line}\n" for line in own)
    if not found:
        return f"**no decision changes**\n\n{lines}"
    return f"**{effects_counted(found)}**\n\n{markdown_table(_COLUMNS, _rows(found))}\n{lines}"


def effects_counted(found: list[Effect]) -> str:
    """Return a sentence that counts each pair of sender and recipient once."""
    wider = {(effect.sender, effect.recipient) for effect in found if effect.widens}
    less = {(effect.sender, effect.recipient) for effect in found if not effect.widens}
    return f"more becomes releasable between {len(wider)} pairs of members, less between {len(less)}"


def effect_document(effect: Effect) -> dict[str, object]:
    """Return one effect for ``--json``."""
    from intelshare.instant import NEVER
    from intelshare.labels import when

    return {
        "widens": effect.widens,
        "from": effect.sender,
        "to": effect.recipient,
        "category": effect.category,
        "flag": effect.flag,
        "levels": [level.name for level in effect.levels],
        "since": when(effect.start),
        "until": None if effect.until == NEVER else when(effect.until),
        "before": effect.before,
        "after": effect.after,
    }
