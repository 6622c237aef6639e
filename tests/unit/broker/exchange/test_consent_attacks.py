"""A forwarder with a consent that is not one: attacks.md row 40, at the recipient, which believes nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, seeded, text, user
from consent_world import pass_on
from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    answer_consent,
    ask_consent,
)
from intelshare.broker.kernel import decide_pair
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.tables import CONSENT, INBOX, PAIR, PENDING, PORTION, RECEIVED
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.broker.lifecycle.drop import DropCommand, drop
from intelshare.broker.lifecycle.holds import ApproveCommand, approve
from intelshare.broker.lifecycle.mend import Record
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.lifecycle.redecide import ONLY_OWN
from intelshare.broker.queries.lists import why
from intelshare.broker.queries.watch import end_of_log, watch
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Citation, Claims, Consent, Evidence, Granted, Kind, Precedence
from intelshare.envelope import Cleared, ClearedPortion, first_tip, seal
from intelshare.ids import Digest, LeafId, ManifestDigest, MemberCode
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.ports import Plan, changed
from intelshare.statement import leaf_id
from line_world import arrive, hand_over, met, pair_of, rows, said, signed, with_law
from rotten_view import Rotten

OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA, USA"
OWN = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA"
FRA, USA, KEN = (MemberCode(code) for code in ("FRA", "USA", "KEN"))
SOON = Instant(NOW + SECOND)


def granted(members: dict[str, Member]) -> None:
    """FRA has KEN's consent to give its portion to USA."""
    fra, ken = members["FRA"], members["KEN"]
    bulletin = pass_on(members, draft(text(OF_KEN), text(OWN), to=["USA"])).bulletin.hex()
    effects = fra.do(ask_consent, AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER)).effects
    for frame in (*hand_over(fra, "KEN"), *effects.outbound):
        arrive(ken, fra, frame.frame)
    command = AnswerConsentCommand(actor("KEN", "r"), bulletin, USA, True, NEVER)
    for frame in ken.do(answer_consent, command).effects.outbound:
        arrive(fra, ken, frame.frame)


def carries(members: dict[str, Member], by: str, consent: Consent) -> None:
    """FRA puts another genuine statement in the place of the consent that it was given."""
    fra = members["FRA"]
    (row,) = rows(fra, CONSENT)
    kept = fra.store.ask_now(lambda view: view.get(RECEIVED, row.member, row.leaf))
    frame = signed(members[by], Kind.CONSENT, consent)
    (carried,) = frame.statements
    leaf = LeafId(leaf_id(Kind.CONSENT, carried.nonce, carried.data))

    def step(node: Any, view: Any, now: Any, random: Any) -> Plan[None]:
        tx = Transaction(node, view, now, random)
        other = changed(
            kept, leaf=leaf, nonce=carried.nonce, data=carried.data, proof=carried.proof,
            batch=tx.batch(frame.batch),
        )  # fmt: skip
        tx.put(RECEIVED, other)
        tx.put(CONSENT, changed(row, leaf=leaf))
        return tx.plan(None)

    fra.do(step)


@pytest.mark.parametrize(
    ("by", "changes"),
    [
        pytest.param("KEN", {}, id="as it was given"),
        pytest.param("KEN", {"until": SOON}, id="lapsed"),
        pytest.param("KEN", {"recipient": KEN}, id="for another recipient"),
        pytest.param("USA", {}, id="of another member"),
        pytest.param("FRA", {}, id="of the forwarder itself"),
        pytest.param("KEN", {"to": USA}, id="to another forwarder"),
        pytest.param("KEN", {"md": ManifestDigest(b"x" * 32)}, id="for another bulletin"),
        pytest.param("KEN", {"slots": ()}, id="a refusal"),
        pytest.param("KEN", {"slots": None}, id="for another portion"),
    ],
)
def test_row_40_a_consent_counts_for_what_it_says_and_for_nothing_else(
    by: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    members: dict[str, Member] = met()
    fra, usa = members["FRA"], members["USA"]
    granted(members)
    (row,) = rows(fra, CONSENT)
    genuine = Consent(FRA, pair_of(fra).md, tuple(row.slots), USA, NEVER)
    if changes.get("slots", ()) is None:
        changes = {
            "slots": tuple(one.slot for one in rows(fra, PORTION, "key", row.md) if one.slot not in row.slots)
        }
    carries(members, by, replace(genuine, **changes))
    with monkeypatch.context() as patched:
        # FRA decides that all is well, and carries whatever it has.
        patched.setattr(decide_pair, "_agreed", lambda *_: frozenset(("USA",)))
        (frame,) = hand_over(fra, "USA")
    answers = said(arrive(usa, fra, frame.frame, at=SOON))
    if not changes and by == "KEN":
        assert answers == [("ACCEPTED", ())]
        return
    assert answers == [("REFUSED", ("POLICY_DENIED", "CONSENT_REQUIRED"))]
    assert rows(usa, INBOX) == []


def test_a_forwarder_does_not_push_out_what_the_originator_itself_releases() -> None:
    """KEN presents FRA's question as FRA's consent, and passes on its own portion of FRA's bulletin first."""
    members: dict[str, Member] = met()
    fra, usa, ken = members["FRA"], members["USA"], members["KEN"]
    bulletin = pass_on(members, draft(text(OF_KEN), text(OWN, "ours"), to=["USA"])).bulletin.hex()
    effects = fra.do(ask_consent, AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER)).effects
    for frame in (*hand_over(fra, "KEN"), *effects.outbound):
        arrive(ken, fra, frame.frame)
    (question,) = effects.outbound
    watcher, begin = actor("USA", "a"), usa.ask(end_of_log)
    passed_on = arrive(usa, ken, _passed_on(ken, question.frame))
    assert said(passed_on) in ([("ACCEPTED", ())], [("REFUSED", ("MANIFEST_MISMATCH",))])
    first = usa.ask(watch, watcher, begin, NOW)
    (frame,) = hand_over(fra, "USA")
    assert said(arrive(usa, fra, frame.frame)) == [("ACCEPTED", ())]
    for since, why_told in (
        (first.after, "whoever has read what was passed on reads again"),
        (begin, "once"),
    ):
        told = [one.what for one in usa.ask(watch, watcher, since, NOW).happened]
        assert told == ["received"], why_told
    shown = usa.do(read, ReadCommand(actor("USA", "a"), bulletin)).shown
    assert [one.portion.content for one in shown.portions] == [b"ours"]
    assert shown.row.sender == "FRA"


def test_an_originator_that_is_asked_gets_its_own_portions_whatever_else_it_might_have() -> None:
    members: dict[str, Member] = met()
    fra, ken = members["FRA"], members["KEN"]
    meant = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"
    given = draft(text(meant, "for USA alone"), text("//FRA NP", "open"), text(OF_KEN, "yours"), to=["USA"])
    bulletin = pass_on(members, given).bulletin.hex()
    fra.do(ask_consent, AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER))
    row = pair_of(fra, "KEN")
    assert (row.granted, row.portions) == (1, 1)
    (frame,) = hand_over(fra, "KEN")
    assert said(arrive(ken, fra, frame.frame)) == [("ACCEPTED", ())]
    shown = ken.do(read, ReadCommand(actor("KEN", "a"), bulletin)).shown
    assert [one.portion.content for one in shown.portions] == [b"yours"]
    decided = fra.ask(why, actor("FRA", "a"), bulletin, KEN, NOW)
    assert [portion.position for portion in decided.decision.portions] == [2]


def test_an_originator_whose_pair_was_given_up_is_not_handed_the_other_portions() -> None:
    """That it gets only its own was a mark in the row, and the pair may go again."""
    members: dict[str, Member] = met()
    fra = members["FRA"]
    granted(members)
    row = pair_of(fra, "KEN")
    assert ONLY_OWN in row.approved.split()
    record = Record(PAIR.name, (row.md, KEN))
    command = DropCommand((record,), user("FRA", "operator"), "a bad disk")
    fra.store.perform_now(
        lambda view: drop(fra.node, Rotten(view, (PAIR, record.key)), command, NOW, seeded("drop"))
    )
    assert pair_of(fra, "KEN").approved == ONLY_OWN


def test_nobody_is_asked_about_what_the_own_law_holds_back() -> None:
    """The question alone would tell that there is a bulletin, and for whom."""
    members: dict[str, Member] = met()
    fra = members["FRA"]
    with_law(fra, '[[hold]]\nid = "FRA-x"\nsource = "invented"\nwhen = { to = ["KEN"] }\n')
    bulletin = pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin.hex()
    command = AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER)
    asked = fra.do(ask_consent, command)
    assert (asked.lines, asked.effects.outbound, hand_over(fra, "KEN")) == ((), (), ())
    assert fra.do(approve, ApproveCommand(actor("FRA", "r"), bulletin, KEN)) == "queued"
    assert len(fra.do(ask_consent, command).effects.outbound) == 1
    assert hand_over(fra, "KEN")


def test_a_question_about_what_new_law_holds_back_is_not_sent_any_more() -> None:
    """The law came between the question and the hand-over: only the question would reach the originator."""
    members: dict[str, Member] = met()
    fra = members["FRA"]
    bulletin = pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin.hex()
    command = AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER)
    (question,) = fra.do(ask_consent, command).effects.outbound
    with_law(fra, '[[hold]]\nid = "FRA-x"\nsource = "invented"\nwhen = { to = ["KEN"] }\n')
    assert hand_over(fra, "KEN") == ()
    assert question.leaves[0] not in {row.leaf for row in rows(fra, PENDING)}
    assert fra.do(approve, ApproveCommand(actor("FRA", "r"), bulletin, KEN)) == "queued"
    assert len(fra.do(ask_consent, command).effects.outbound) == 1


def _passed_on(ken: Member, question: Frame) -> Frame:
    """KEN's own portion of FRA's bulletin, under FRA's manifest, to USA."""
    (asked,) = question.statements
    evidence = Evidence(Kind.CONSENT, asked.nonce, asked.data, asked.proof, question.batch)
    (row,) = rows(ken, INBOX)
    claims = decode(Claims, open_secret(ken.node, INBOX.name, row.md, 0, row.sealed_claims))
    (portion,) = rows(ken, PORTION, "key", row.md)
    secret = ken.store.ask_now(lambda view: read_secret(ken.node, view, portion))
    kem_id, kem = ken.node.trust.sealing_key(USA, 1, NOW)
    treaty = next(treaty for treaty in ken.node.world.files if treaty.id == "demo-climate")
    words = Digest(bytes.fromhex(treaty.text.removeprefix("sha256:")))
    granted = Granted(portion.slot, (Citation(treaty.id, words, treaty.provisions[0].article),), ())
    cleared = Cleared(
        USA, kem_id, kem, claims.manifest, Precedence.ROUTINE, NEVER,
        (ClearedPortion(granted, secret, portion.body_digest),), OF_KEN, Digest(bytes(32)),
        consents=(evidence,),
    )  # fmt: skip
    tip = first_tip(ken.node.uri, ken.node.incarnation, USA)
    sealed = seal(
        [cleared], ken.node.signer, NOW, seeded("passed on"), tips={USA: tip}, suites=ken.node.suites
    )
    (release,) = sealed.releases
    said = release.statement
    carried = Carried(Kind.RELEASE, said.nonce, said.data, said.proof, release.grant, (portion.body,))
    return Frame(sealed.batch, sealed.batch_keys[kem_id], (carried,))
