"""A replica beside others: what it forgets of its own, and what it reads before a hand-over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders import NOW
from intelshare.broker.kernel.frame import Carried, Frame, Gap
from intelshare.broker.kernel.node import Recent
from intelshare.broker.kernel.tables import LAW, PAIR, TRUST, LawRow, TrustRow
from intelshare.broker.line.read_ahead import handover_ahead
from intelshare.broker.line.receive import Arrival
from intelshare.builtin import demo_treaties
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Kind, Trust, TrustType
from intelshare.engine.actions import PassOn, RunStep
from intelshare.engine.events import PassedOn
from intelshare.engine.steps import Step
from intelshare.engine.values import LinkId
from intelshare.errors import PolicyFileError, RecordError
from intelshare.ids import ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.node import following
from intelshare.node.folder import Folder
from intelshare.node.following import Following, heard_of, said_of
from intelshare.node.policies import UNAVAILABLE, read_law
from intelshare.node.settings import Settings
from intelshare.ports import Plan, Put, View, durable_after_commit
from intelshare.store.memory import MemoryStore
from intelshare.store.postgres.views import unread_here
from intelshare.trust import write_member_file
from line_world import met
from waits import LIMIT

MD = ManifestDigest(bytes(32))
HAND_OVER = RunStep(Step.HANDOVER, ({}, 8))

OVERLAY = """\
[[hold]]
id = "FRA-source-identity"
source = "a releasing officer decides"
when = { flags = ["source-identity"] }
"""


class Groups:
    """What another replica has committed: a pair for the USA."""

    def keys(self, table: Any) -> list[tuple[bytes, str]]:
        return [(MD, "USA")] if table is PAIR else []

    def gone(self, _: Any) -> list[tuple[bytes, str]]:
        return []

    def durable(self, value: Any) -> Any:
        return durable_after_commit(value)

    def touch(self, *_: Any) -> bool:
        return False

    def fields(self, _: Any, *__: str) -> list[Any]:
        return []

    def rows(self, _: Any) -> list[Any]:
        return []


class Damaged:
    """The view of a store in which the root of one member does not match its digest."""

    unbound: View | None = None

    def __init__(self, view: View, member: str) -> None:
        self._view, self._member = view, member
        self.get = view.get

    def find(self, table: Any, *index: Any, **more: Any) -> list[Any]:
        rows = self._view.find(table, *index, **more)
        return [row for row in rows if table is not TRUST or row[:2] != (self._member, TrustType.ROOT)]

    def known(self) -> tuple[RecordError, ...]:
        return (RecordError(TRUST.name, (self._member, int(TrustType.ROOT), 1), "damaged"),)


class Store:
    """Its questions wait until they are answered."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def query(self, _: Any) -> Any:
        return await self.answer


def beside(folder: Path, **more: Any) -> tuple[Following, Any, Any]:
    runtime = SimpleNamespace(
        folder=SimpleNamespace(root=folder),
        vault=SimpleNamespace(
            follow=lambda: False, first_signer=lambda keys: keys, sealing_keys=dict, retired=set
        ),
        node=SimpleNamespace(recent=Recent(), trust=SimpleNamespace(partners=())),
        leads=False,
        outdated=False,
        later=lambda *_: None,
        now=lambda: Instant(1),
        on_step=[],
        **more,
    )
    links = SimpleNamespace()
    return Following(runtime, links), runtime, links  # type: ignore[arg-type]


def test_a_replica_forgets_what_another_one_hands_over(tmp_path: Path) -> None:
    """No secret stays in its memory for longer than it is needed."""
    following, runtime, _ = beside(tmp_path)
    runtime.node.recent.put(MD, "made", 1, [MemberCode("USA"), MemberCode("KEN")])
    following.take_in(Groups())  # type: ignore[arg-type]
    assert runtime.node.recent.get(MD) == "made"
    runtime.node.recent.done(MD, MemberCode("KEN"))
    assert runtime.node.recent.get(MD) is None


@pytest.mark.parametrize("member", ["USA", "FRA"])
def test_a_replica_that_makes_its_node_again_reads_trust_with_the_care_of_a_start(
    member: str, tmp_path: Path
) -> None:
    """A damaged root ends no replica: another member is not known, this one's is in the folder besides."""
    fra = met()["FRA"]
    rows = [
        Put(TRUST, TrustRow(code, kind, 1, encode(Trust, signed)))
        for code, held in fra.node.trust.members.items()
        for kind, signed in (
            (TrustType.ROOT, held.roots[0]),
            (TrustType.DIRECTORY, held.directory_signed),
        )
    ]
    view = Damaged(MemoryStore([Plan(tuple(rows), None)]), member)
    following, runtime, _ = beside(tmp_path, store=SimpleNamespace(damage=view))
    runtime.folder.own_member = tmp_path / "own-member"
    own = write_member_file(fra.node.trust.members[MemberCode("FRA")])
    runtime.folder.own_member.write_bytes(own.encode())
    made = following._renewed(fra.node, view)  # type: ignore[arg-type]
    assert set(made.trust.members) == {"FRA", "USA", "KEN"} - ({member} - {"FRA"})


def test_a_replica_goes_on_with_the_keys_that_the_one_that_leads_has_put_into_the_vault(
    tmp_path: Path,
) -> None:
    """A rotation had ended all but that one, for as long as a start takes."""
    fra = met()["FRA"]
    view: Any = Damaged(MemoryStore([]), "USA")
    following, runtime, _ = beside(tmp_path, store=SimpleNamespace(damage=view))
    runtime.folder.own_member = tmp_path / "own-member"
    own = write_member_file(fra.node.trust.members[MemberCode("FRA")])
    runtime.folder.own_member.write_bytes(own.encode())
    followed, now, sealing = list[bool](), NOW, {"new": "key"}
    valid = fra.node.trust.signing_keys(fra.node.uri, now)
    runtime.now = lambda: now
    runtime.vault = SimpleNamespace(
        follow=lambda: followed.append(True),
        first_signer=lambda keys: ("signer of", keys),
        sealing_keys=lambda: sealing,
        retired=lambda: ["old"],
    )
    made: Any = following._renewed(fra.node, view)
    assert followed
    assert (made.signer, made.sealing, made.retired) == (("signer of", valid), sealing, {"old"})
    runtime.now = lambda: Instant(1)  # no key is valid
    made = following._renewed(fra.node, view)
    assert (made.signer, made.sealing) == (fra.node.signer, sealing)


def test_a_record_that_one_replica_met_damaged_is_known_to_the_one_that_leads(tmp_path: Path) -> None:
    """It alone has records mended; each word of the other one had been a defect there."""
    damaged = [
        RecordError("trust", ("FRA", int(TrustType.ROOT), 1), "a text and a number"),
        RecordError("inbox", (bytes(32),), "bytes"),
        unread_here(RecordError("inbox", (), "a page", page=True)),
    ]
    said, noted = list[str](), list[RecordError]()
    store = SimpleNamespace(
        damage=SimpleNamespace(known=lambda: damaged, note=noted.append),
        ask_now=lambda _: True,
        together=True,
        tell=said.append,
    )
    following, _, _ = beside(tmp_path, store=store)
    following.tell_damage()
    for one in said:
        following._meets(one.removeprefix("damaged "))
    assert [(one.table, one.key, one.message, one.page, one.hint) for one in noted] == [
        (one.table, one.key, one.message, one.page, one.hint) for one in damaged
    ]


def law_folder(root: Path, settings: Settings) -> tuple[Folder, list[Put[Any]]]:
    """A folder with an overlay, and the rows of the law as the replica that leads wrote them."""
    for kind in ("treaties", "overlays"):
        (root / kind).mkdir(mode=0o700)
    overlay = root / "overlays" / "fra.toml"
    overlay.write_text(OVERLAY, "utf-8")
    overlay.chmod(0o600)
    _, files = read_law(Folder(root), settings)
    return Folder(root), [Put(LAW, LawRow(one.file, one.about, one.digest, Instant(1))) for one in files]


@pytest.mark.parametrize("change", ["another", "missing", "more"])
def test_a_replica_whose_folder_has_other_law_than_is_in_force_runs_no_step_until_it_has_that(
    change: str, tmp_path: Path
) -> None:
    """A folder that was copied, or a network file system that shows old files, lets nothing out (P17)."""
    fra = met()["FRA"]
    settings = Settings(MemberCode("FRA"), NodeUri("intelshare://fra.example/node/one"))
    folder, law = law_folder(tmp_path, settings)
    held = fra.node.trust.members[MemberCode("FRA")]
    trust = [
        Put(TRUST, TrustRow("FRA", kind, 1, encode(Trust, signed)))
        for kind, signed in ((TrustType.ROOT, held.roots[0]), (TrustType.DIRECTORY, held.directory_signed))
    ]
    store = MemoryStore([Plan((*trust, *law), None)])
    following, runtime, _ = beside(tmp_path, store=SimpleNamespace(damage=store.damage), settings=settings)
    codes = set[str]()
    runtime.folder, runtime.health = folder, SimpleNamespace(set=codes.add, clear=codes.discard)
    runtime.later = lambda call, *values: call(*values)
    overlay = tmp_path / "overlays" / "fra.toml"
    good, more = overlay.read_bytes(), tmp_path / "treaties" / "gsa-fra-usa.toml"
    if change == "more":
        more.write_text(demo_treaties()[more.name], "utf-8")
        more.chmod(0o600)
    elif change == "missing":
        overlay.unlink()
    else:
        overlay.write_bytes(good + b"# of last year\n")
    following._law = True
    for _ in range(2):
        with pytest.raises(PolicyFileError, match=UNAVAILABLE):
            following._renewed(fra.node, store)
        assert codes == {UNAVAILABLE}
    more.unlink(missing_ok=True)
    overlay.write_bytes(good)
    assert following._renewed(fra.node, store).member == "FRA"
    assert codes == set()


async def test_a_stop_waits_for_a_hand_over_that_is_still_reading(tmp_path: Path) -> None:
    """Its step is in the store's queue before the store takes no more."""
    store, order = Store(), list[Any]()

    async def step(*what: Any, traced: str) -> None:
        order.append((traced, *what))

    following, _, links = beside(tmp_path, store=store, step=step)
    rooms = {MemberCode("USA"): 1}
    handing = asyncio.create_task(links.perform(RunStep(Step.HANDOVER, (rooms, 8))))
    await asyncio.sleep(0)
    settling = asyncio.create_task(following.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    store.answer.set_result({})
    await settling
    assert order == [("handover", handover_ahead, rooms, 8, {})], "its span is that of every hand-over"
    await handing


class Asked:
    """The steps that a replica has put into the store's queue, in order."""

    def __init__(self, folder: Path) -> None:
        self.order: list[RunStep] = []
        self.store = Store()
        self.following, self._runtime, links = beside(
            folder, store=self.store, perform=self._perform, step=self._step
        )
        self._start = links.perform
        self._tasks: list[Any] = []

    async def _perform(self, run: RunStep) -> None:
        for call in self._runtime.on_step:
            call()
        self.order.append(run)

    async def _step(self, *_: Any, **__: Any) -> None:
        await self._perform(HAND_OVER)

    async def ask(self, run: RunStep) -> RunStep:
        self._tasks.append(asyncio.create_task(self._start(run)))
        await asyncio.sleep(0)
        return run

    async def end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


def step_of(step: Step, link: int, *kinds: Kind) -> RunStep:
    frame = Frame(b"", b"", tuple(Carried(kind, b"", b"", b"") for kind in kinds))
    arrival = Arrival(MemberCode("USA"), NodeUri("usa"), frame)
    return RunStep(step, (arrival,), LinkId(link))


async def test_an_acknowledgement_shares_the_commit_of_the_next_step_or_goes_alone_after_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path)
    monkeypatch.setattr(following, "PATIENCE", LIMIT)
    acknowledged = await asked.ask(step_of(Step.ACKNOWLEDGE, 1))
    assert asked.order == []
    received = await asked.ask(step_of(Step.RECEIVE, 2, Kind.RELEASE))
    await asked.end()
    assert asked.order == [received, acknowledged]
    monkeypatch.setattr(following, "PATIENCE", 0)
    alone = await asked.ask(step_of(Step.ACKNOWLEDGE, 1))
    await asked.end()
    assert asked.order[2:] == [alone]


async def test_receipts_wait_for_a_hand_over_that_reads_and_what_comes_after_them_on_a_link_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path)
    monkeypatch.setattr(following, "PATIENCE", LIMIT)
    await asked.ask(HAND_OVER)
    receipts = await asked.ask(step_of(Step.RECEIVE, 1, Kind.RECEIPT, Kind.RECEIPT))
    release = await asked.ask(step_of(Step.RECEIVE, 1, Kind.RELEASE))
    assert asked.order == []
    asked.store.answer.set_result({})
    await asked.end()
    assert asked.order == [HAND_OVER, receipts, release]
    asked.store.answer = asyncio.get_running_loop().create_future()
    await asked.ask(HAND_OVER)
    other = await asked.ask(step_of(Step.RECEIVE, 1, Kind.RELEASE, Kind.RECEIPT))
    assert asked.order[3:] == [other], "a bulletin that comes in waits for nothing"
    last = await asked.ask(step_of(Step.RECEIVE, 1, Kind.RECEIPT))
    asked.store.answer.set_result({})
    await asked.following.settle()
    assert last in asked.order[4:], "a stop lets nothing wait"
    await asked.end()


@pytest.mark.parametrize("message", [None, NOW, Gap(NodeUri("node"), 1, ((1, 2),))])
def test_what_one_replica_says_of_a_member_another_one_hears(message: Gap | Instant | None) -> None:
    said = said_of(PassOn(MemberCode("USA"), message), NOW)
    assert said is not None
    assert heard_of(said) == PassedOn(MemberCode("USA"), message)


@pytest.mark.parametrize("said", ["USA @", "USA @soon", "USA #1", "USA bm9uZQ=="])
def test_what_another_version_says_is_not_heard(said: str) -> None:
    assert heard_of(said) is None
