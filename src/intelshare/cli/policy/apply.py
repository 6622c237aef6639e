"""``policy plan`` and ``policy apply``: show what new files would change, and make them the law of a node."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from intelshare.builtin import OWN_FOLDERS
from intelshare.cli.policy.diff import effect_document, effect_table, effects_counted
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import folder_option, passphrase, printing
from intelshare.cli.shared.output import Out, Table, draw
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.plain import time_text
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, IntelshareError, Place, PolicyFileError

if TYPE_CHECKING:
    from intelshare.cli.policy.files import Files
    from intelshare.cli.shared.node_folder import NodeFolder, Passphrase
    from intelshare.client import Client
    from intelshare.instant import Instant
    from intelshare.labels import Registry
    from intelshare.node.new_law import NewLaw
    from intelshare.node.settings import Settings
    from intelshare.policy import PartyAct, Treaty, World
    from intelshare.policy_tools import Effect, Result
    from intelshare.wire.v1 import user_pb2 as pb

_PATIENCE: Final = 20.0
"""The seconds that a running node is given to read its new files; it looks every second or two."""


def _arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def command(*args: Any, folder: Path, profile: str | None, passphrase: Passphrase, **given: Any) -> Any:
        from intelshare.cli.shared.node_folder import NodeFolder

        return function(*args, node=NodeFolder(folder, passphrase, profile), **given)

    options = (
        paths_argument,
        folder_option,
        click.option("--prune", is_flag=True, help="Remove files from the folder that are not among PATHS."),
        click.option("--no-test", is_flag=True, help="Do not run the policy tests among PATHS first."),
        click.option(
            "--as",
            "--profile",
            "profile",
            metavar="PROFILE",
            help="Profile for asking the running node. Default: the operator's in the data folder.",
        ),
        passphrase,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=examples("intelshare policy plan law/ --folder fra"))
@_arguments
@printing
def plan(paths: tuple[Path, ...], node: NodeFolder, prune: bool, no_test: bool, out: Out) -> int:
    """Show what PATHS would change in the law of a node: files, and who could send what to whom.

    Checks and tests the files first. Exits with 0 if nothing would change, with 12 if changes are pending.
    """
    found = _plan(paths, node, prune, no_test, out)
    if found is None:
        return Exit.FAILED
    out.document("policy-plan", found.document(applied=False))
    for line in _lines(found):
        out.line(line)
    _show_tables(found, out)
    if found.law.changes:
        out.line("nothing was written: `intelshare policy apply` puts it into force")
    return Exit.PENDING if found.law.changes else Exit.DONE


@click.command(
    epilog=examples(
        "intelshare policy apply law/ --folder fra",
        "intelshare policy apply law/ --folder fra --yes --json",
    )
)
@_arguments
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
def apply(paths: tuple[Path, ...], node: NodeFolder, prune: bool, no_test: bool, yes: bool, out: Out) -> int:
    """Make PATHS the law of a node: show the effect, ask, write the files, and wait until they are in force.

    A treaty replaces the folder's file with the same id; tests and other members' overlays are left out.
    Exits with 0 if the law is in force or nothing changes, with 12 if changes are pending because nobody
    confirmed them.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.node.new_law import write_law

    found = _plan(paths, node, prune, no_test, out)
    if found is None:
        return Exit.FAILED
    if not found.law.changes:
        out.document("policy-apply", found.document(applied=True))
        out.line("nothing to do: the folder already contains these files")
        return Exit.DONE
    if not yes:
        sys.stderr.write("".join(f"{line}\n" for line in _lines(found)))
        for table in _tables(found):
            draw(table, sys.stderr)
        try:
            confirm("Make this the law of the node?", yes=yes)
        except (ConfigError, click.Abort):
            out.document("policy-apply", found.document(applied=False))
            out.note("nothing was written; --yes applies it without confirmation")
            return Exit.PENDING
    write_law(found.law)
    since = _await_law(found, found.node.client) if found.node is not None else 0
    out.document("policy-apply", found.document(applied=True, since=since))
    if yes:
        for line in _lines(found):
            out.line(line)
        _show_tables(found, out)
    out.line(_told(found, since))
    return Exit.DONE


@dataclass(frozen=True, slots=True)
class _Node:
    """The knowledge of a running node that is not in its files."""

    client: Client
    acts: tuple[PartyAct, ...]
    texts: Mapping[str, Mapping[str, str]]
    """For each known member, the treaties that its directory names, with the text as far as it is known."""
    users: Mapping[str, frozenset[str]]
    """For each user, the categories in the register."""


@dataclass(frozen=True, slots=True)
class _Plan:
    law: NewLaw
    settings: Settings
    node: _Node | None
    effects: list[Effect]
    notes: list[str]

    def document(self, *, applied: bool, since: int = 0) -> dict[str, object]:
        """Return the plan for ``--json``."""
        return {
            "files": [{"file": one.name, "change": one.became.value} for one in self.law.changes],
            "left": list(self.law.left),
            "effects": [effect_document(one) for one in self.effects],
            "notes": self.notes,
            "compared_with": "the running node" if self.node is not None else "the files of the folder",
            "applied": applied,
            "since": time_text(since),
            "results": [],
        }


def _wrong_document(wrong: list[Result]) -> dict[str, object]:
    """Of new files that are not looked at any further."""
    from intelshare.policy_tools import as_json

    nothing: dict[str, object] = dict.fromkeys(("files", "left", "effects", "notes"), ())
    return {**nothing, "compared_with": None, "applied": False, "since": None, "results": as_json(wrong)}


def _plan(paths: tuple[Path, ...], here: NodeFolder, prune: bool, no_test: bool, out: Out) -> _Plan | None:
    """Return the plan, or None if the new files are wrong, which has been printed. Raises what reading either
    side raises.
    """
    from intelshare.cli.policy.files import find
    from intelshare.cli.policy.results import write_results
    from intelshare.cli.shared.beside import read_policy
    from intelshare.node.folder import Folder
    from intelshare.node.new_law import new_law
    from intelshare.node.settings_file import read_settings
    from intelshare.policy import World
    from intelshare.policy_tools import effects

    files, target = find(paths), Folder(here.folder)
    settings = read_settings(target.settings)
    wrong = _wrong(files, paths, no_test)
    if wrong:
        if out.json:
            out.document(f"policy-{click.get_current_context().info_name}", _wrong_document(wrong))
        else:
            write_results(wrong, "text", "policy plan", out)
        out.line(f"{len(wrong)} errors: nothing was written")
        return None
    own = [path for path in files.overlays if path.stem.upper() == settings.member]
    law = new_law(
        target,
        settings,
        {path: read_policy(path) for path in files.treaties},
        read_policy(own[-1]) if own else None,
        {path: read_policy(path) for path in files.own},
        prune=prune,
    )
    node, now = _node(here), moment(None)
    head = _world(law.wanted, settings, node)
    _check_members(law, head, settings, node)
    try:
        base = _world(law.held, settings, node)
    except PolicyFileError as error:
        # The files to be applied may be the ones that repair the folder.
        base = World(head.registry, head.members)
        broken = f"the folder does not load now, so everything that the new law allows is shown: {error}"
    else:
        broken = ""
    if node is None:
        # A member that only one of the two lists must count as known in the other.
        both = base.members | head.members
        base, head = (World(one.registry, both, one.treaties, one.overlays) for one in (base, head))
    found = [
        one
        for one in effects(base, head)
        if settings.member in (one.sender, one.recipient) and one.until > now
    ]
    notes = [
        f"{path}: the law of {path.stem.upper()}, not applied to a node of {settings.member}"
        for path in files.overlays
        if path not in own
    ]
    notes += [broken] if broken else _notes(law, (base, head), settings, node, now)
    return _Plan(law, settings, node, found, notes)


def _wrong(files: Files, paths: tuple[Path, ...], no_test: bool) -> list[Result]:
    from intelshare.cli.policy.check import findings
    from intelshare.cli.policy.testing import run_tests
    from intelshare.policy_tools import failed

    results = findings(files)
    if files.tests and not no_test and not failed(results):
        results += run_tests(paths, None).results
    return [result for result in results if failed([result])]


def _node(here: NodeFolder) -> _Node | None:
    """Return what the running node knows, or None if it does not run or does not answer."""
    from intelshare.cli.shared.law import act_of, every_act
    from intelshare.wire.v1 import user_pb2 as pb

    if not (here.folder / "run.json").exists():
        return None
    try:
        # Open until the command ends: once the files are written, the node is asked about them.
        client = click.get_current_context().with_resource(here.running())
    except IntelshareError as error:
        if not here.names_profile and error.code == "NODE_UNREACHABLE":
            return None
        raise
    acts = every_act(client)
    treaties = client.treat("ListTreaties", pb.ListTreatiesRequest()).treaties
    members = client.operate("ListMembers", pb.ListMembersRequest()).members
    users = _users(client)
    return _Node(
        client,
        tuple(act_of(act) for act in acts if act.state == "counts"),
        {member.member: _adopted(member, treaties) for member in members},
        users,
    )


def _users(client: Client) -> dict[str, frozenset[str]]:
    """Return each user's categories, as far as the caller may see them."""
    from intelshare.wire.v1 import user_pb2 as pb

    try:
        users = client.operate("ListUsers", pb.ListUsersRequest()).users
    except IntelshareError as error:
        if error.code == "NOT_AUTHORISED":
            return {}
        raise
    return {user.name: frozenset(user.categories) for user in users if not user.revoked}


def _adopted(member: pb.MemberEntry, treaties: Sequence[pb.TreatyState]) -> dict[str, str]:
    """Return the texts that a member's directory names: this node's text, unless it announced another."""
    other = {
        each.id: one.adopted for each in treaties for one in each.mismatches if one.member == member.member
    }
    held = {each.id: each.text for each in treaties}
    return {name: other.get(name, held.get(name, "")) for name in member.treaties}


def _world(texts: Mapping[Path, bytes], settings: Settings, node: _Node | None) -> World:
    """Return the world of these files as the node would see it: its members, acts, and the texts they
    adopted.
    """
    from intelshare.node.policies import world_of
    from intelshare.policy import World, with_acts
    from intelshare.policy_tools import as_adopted

    world = world_of(texts, settings)
    if node is None:
        parties = {party.member for treaty in world.files for party in treaty.parties}
        return World(world.registry, frozenset(parties), world.files, world.overlays)
    known = frozenset(node.texts)
    treaties = [
        as_adopted(treaty, _texts_of(treaty, settings, node), known)
        for treaty in with_acts(world.files, node.acts)
    ]
    return World(world.registry, known, tuple(treaties), world.overlays)


def _texts_of(treaty: Treaty, settings: Settings, node: _Node) -> dict[str, str]:
    """Return the adopted texts: this member's are those in its folder; a text that no directory names is
    adopted by nobody.
    """
    adopted = {member: texts.get(treaty.id, "") for member, texts in node.texts.items()}
    return {**adopted, settings.member: treaty.text}


def _check_members(law: NewLaw, head: World, settings: Settings, node: _Node | None) -> None:
    """Check that every member known to the node is also a state or organisation under the new law.

    Raises PolicyFileError PARTY_UNKNOWN: the node would continue by the old law and release nothing.
    """
    known = [settings.member] if node is None else sorted(node.texts)
    for member in known:
        if not head.registry.is_member(member):
            files = [change.name for change in law.changes if change.path.parent.name in OWN_FOLDERS]
            raise PolicyFileError(
                "PARTY_UNKNOWN",
                f"{member} is a member here, and would no longer be a state or organisation",
                place=Place(files[0] if files else "groups/"),
                hint="keep the file in groups/ that defines it; nothing was written",
            )


def _notes(
    law: NewLaw, both: tuple[World, World], settings: Settings, node: _Node | None, now: Instant
) -> list[str]:
    """Return notes on effects that the table does not show."""
    from intelshare.node.policies import world_of
    from intelshare.policy_tools import registry_changes

    base, head = (world.registry for world in both)
    found = [change.text for change in registry_changes(base, head, now)]
    if node is None:
        return [*found, "the node is not running here: compared without treaty acts and adopted texts"]
    found += _holders(base, head, node)
    before = {one.id: one.text for one in world_of(law.held, settings).files}
    for treaty in world_of(law.wanted, settings).files:
        parties = {party.member for party in treaty.parties} - {settings.member}
        others = sorted(
            member
            for member in parties & set(node.texts)
            if node.texts[member].get(treaty.id, "") != treaty.text
        )
        if others and before.get(treaty.id) != treaty.text:
            what = "is another text" if treaty.id in before else "is new here"
            found.append(
                f"{treaty.id} {what}: nothing can be shared under it with {', '.join(others)} until they "
                f"adopt it too"
            )
    return found


def _holders(before: Registry, after: Registry, node: _Node) -> list[str]:
    """Return notes on users who hold categories that are no longer defined."""
    from intelshare.labels import WordKind

    lost = before.words.of(WordKind.CATEGORY).keys() - after.words.of(WordKind.CATEGORY).keys()
    held = {
        word: sorted(user for user, words in node.users.items() if word in words) for word in sorted(lost)
    }
    return [
        f"the register gives {word} to {', '.join(users)}: they keep reading what came under it, and get "
        f"nothing new"
        for word, users in held.items()
        if users
    ]


def _lines(found: _Plan) -> list[str]:
    lines = [f"{one.became.value:<8} {one.name}" for one in found.law.changes]
    lines += [f"stays    {name} (not among PATHS; --prune removes it)" for name in found.law.left]
    lines += [f"note: {note}" for note in found.notes]
    if not found.law.changes:
        return [*lines, "nothing would change"]
    effect = effects_counted(found.effects) if found.effects else "no decision changes"
    return [*lines, f"for {found.settings.member}: {effect}"]


def _tables(found: _Plan) -> list[Table]:
    return [effect_table(found.effects)] if found.effects else []


def _show_tables(found: _Plan, out: Out) -> None:
    for table in _tables(found):
        out.table(table)


def _await_law(found: _Plan, client: Client) -> int:
    """Return when the running node began to decide by the new files, or 0 if it has not done so in time."""
    from intelshare.broker.treaty.policy_files import digest_of
    from intelshare.node.policies import law_files, world_of

    wanted = found.law.wanted
    digest = digest_of(law_files(wanted, world_of(wanted, found.settings), found.settings))
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        policy = client.status().policy
        if policy.digest == digest:
            return policy.since
        time.sleep(0.2)
    return 0


def _told(found: _Plan, since: int) -> str:
    from intelshare.cli.shared.tables import short_time

    count = len(found.law.changes)
    files = "1 file" if count == 1 else f"{count} files"
    if since:
        return f"{files} written; in force since {short_time(since)}"
    if found.node is None:
        return f"{files} written; the node uses them from its next start, or within seconds if it is running"
    return f"{files} written; the node has not loaded them yet: `intelshare status` shows why"
