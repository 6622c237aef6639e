"""Attachments, step by step: upload, a bulletin that takes it, what its recipient asks for, how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import BULLETIN, FILE, INBOX, PAIR, PORTION, SECRET, UserRow
from intelshare.broker.lifecycle.anew import sign_anew
from intelshare.broker.lifecycle.attachments import (
    MAX_AGAIN,
    MAX_UPLOADS,
    BeginUpload,
    FileState,
    FinishUpload,
    Kept,
    arrived,
    begin_upload,
    finish_upload,
    first_wanted,
    lost,
)
from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.broker.lifecycle.drop import DropCommand, drop
from intelshare.broker.lifecycle.mend import Record
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.lifecycle.serving import serves
from intelshare.broker.lifecycle.stop import anything_over, expire
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import MAX_FILE, PieceCipher, pieces_id, read_attachment
from intelshare.crypto.records import Attachment, Portion, PortionKind
from intelshare.errors import DeliveryError, LabelError
from intelshare.ids import Digest, FilePlace, MemberCode
from intelshare.instant import DAY, HOUR, Instant
from line_world import TO_BOTH, TO_USA, arrive, hand_over, met, rows, said, send, stolen, with_law
from rotten_view import Rotten

FORBID = """
[[forbid]]
id = "FRA-no-cyber"
source = "invented for this test"
when = { categories = ["cyber"] }
"""
CONTENT = b"what the annex says"
USA, KEN = MemberCode("USA"), MemberCode("KEN")


def place(number: int = 1) -> FilePlace:
    return FilePlace(bytes([number]) * 16)


def begun(member: Any, number: int = 1, size: int = len(CONTENT), by: str = "a", at: Instant = NOW) -> Any:
    return member.do(begin_upload, BeginUpload(actor(member.node.member, by), place(number), size), at=at)


def uploaded(member: Any, number: int = 1, at: Instant = NOW) -> Attachment:
    upload = begun(member, number, at=at)
    piece = PieceCipher(upload.key, upload.header).seal(CONTENT, last=True)
    command = FinishUpload(actor(member.node.member, "a"), place(number), (sha256(piece),))
    made: Attachment = member.do(finish_upload, command, at=at)
    return made


def portion(made: Attachment, label: str = TO_USA) -> Portion:
    return replace(
        text(label),
        kind=PortionKind.ATTACHMENT,
        media="application/pdf; name=annex.pdf",
        content=encode(Attachment, made),
    )


def states(member: Any) -> list[FileState]:
    return [FileState(row.state) for row in rows(member, FILE)]


@pytest.fixture
def members() -> Any:
    return met()


@pytest.fixture
def sent(members: Any) -> Any:
    """FRA has sent USA and KEN a text, and a file that only USA may have."""
    made = uploaded(members["FRA"])
    send(members["FRA"], draft(text(TO_BOTH), portion(made), to=["USA", "KEN"]))
    frames = {one.peer: one.frame for one in hand_over(members["FRA"], "USA", "KEN")}
    return members, made, frames


def test_a_file_follows_its_bulletin_and_a_receipt_says_when_it_is_whole(sent: Any) -> None:
    members, made, frames = sent
    fra, usa = members["FRA"], members["USA"]
    taken = arrive(usa, fra, frames["USA"])
    assert said(taken) == [("ACCEPTED", ())]
    assert taken.effects.wanted == {"FRA"}
    wanted = usa.ask(first_wanted, "FRA", (), NOW)
    assert (wanted.pieces_id, wanted.size, wanted.pieces) == (
        pieces_id(made.pieces),
        len(CONTENT),
        made.pieces,
    )
    assert fra.ask(serves, USA, wanted.pieces_id, NOW) == Kept(place(), len(CONTENT), MemberCode(""))
    for outbound in taken.effects.outbound:
        arrive(fra, usa, outbound.frame)
    effects = usa.do(arrived, wanted.place)
    (outbound,) = effects.outbound
    arrive(fra, usa, outbound.frame)
    (pair,) = [row for row in rows(fra, PAIR) if row.recipient == "USA"]
    assert pair.codes == "WHOLE"
    assert states(usa) == [FileState.WHOLE]
    assert usa.ask(first_wanted, "FRA", (), NOW) is None
    again = usa.do(arrived, wanted.place)
    assert again.outbound == ()


def whole(sent: Any) -> tuple[Any, Any]:
    """FRA and USA, which has the file, and has said so; the file's row."""
    members, _, frames = sent
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, frames["USA"])
    usa.do(arrived, usa.ask(first_wanted, "FRA", (), NOW).place)
    return usa, rows(usa, FILE)[0]


def test_what_the_disk_lost_is_asked_for_again_and_told_once(sent: Any) -> None:
    usa, row = whole(sent)
    found = usa.do(lost, row.place)
    assert (found.member, found.effects.wanted) == ("FRA", {"FRA"})
    assert usa.ask(first_wanted, "FRA", (), NOW).place == row.place
    second = usa.do(lost, row.place)
    assert (second.member, second.effects.wanted) == ("FRA", frozenset()), "another reader met it too"
    again = usa.do(arrived, row.place)
    assert again.outbound == (), "that it had arrived was told before"
    assert states(usa) == [FileState.WHOLE]


def test_a_disk_that_always_loses_is_not_fed_for_ever(sent: Any) -> None:
    usa, row = whole(sent)
    for _ in range(MAX_AGAIN):
        assert usa.do(lost, row.place).member == "FRA"
        usa.do(arrived, row.place)
    assert usa.do(lost, row.place).member == ""
    assert states(usa) == [FileState.WHOLE]


def test_one_that_was_lost_does_not_hide_that_the_others_have_arrived(members: Any) -> None:
    """Two files: the first is whole and lost again before the second arrives; one receipt says WHOLE."""
    fra, usa = members["FRA"], members["USA"]
    made = [uploaded(fra, number) for number in (1, 2)]
    send(fra, draft(*map(portion, made), to=["USA"]))
    arrive(usa, fra, hand_over(fra, "USA")[0].frame)
    first, second = rows(usa, FILE)
    assert usa.do(arrived, first.place).outbound == ()
    assert usa.do(lost, first.place).member == "FRA"
    (told,) = usa.do(arrived, second.place).outbound
    assert usa.do(arrived, first.place).outbound == ()
    arrive(fra, usa, told.frame)
    assert [row.codes for row in rows(fra, PAIR)] == ["WHOLE"]


def test_of_an_own_file_nobody_is_asked(sent: Any) -> None:
    members, _, _ = sent
    fra = members["FRA"]
    assert fra.do(lost, place()).member == ""
    assert states(fra) == [FileState.KEPT]


def test_what_was_lost_goes_with_its_bulletin(sent: Any) -> None:
    members, _, _ = sent
    usa, row = whole(sent)
    fra = members["FRA"]
    usa.do(lost, row.place)
    (inbox,) = rows(usa, INBOX)
    taken = fra.do(recall, RecallCommand(actor("FRA", "a"), inbox.bulletin.hex(), "wrong"))
    for outbound in taken.effects.outbound:
        if outbound.peer == "USA":
            arrive(usa, fra, outbound.frame)
    assert states(usa) == [FileState.GONE]


@pytest.mark.parametrize("table", [PORTION, SECRET])
def test_the_file_of_a_received_portion_that_is_given_up_is_asked_for_no_more(sent: Any, table: Any) -> None:
    """Found by the simulator (seed 226774): it was wanted for ever, and nothing said where its pieces are."""
    members, _, frames = sent
    usa = members["USA"]
    arrive(usa, members["FRA"], frames["USA"])
    (file,) = rows(usa, FILE)
    where = (table, (file.md, file.slot))
    command = DropCommand((Record(table.name, where[1]),), user("USA", "operator"), "a bad disk")
    usa.do(lambda node, view, *event: drop(node, Rotten(view, where), *event), command)
    assert states(usa) == [FileState.GONE]


def test_who_wrote_it_reads_it_and_its_file_and_others_as_they_are_cleared(sent: Any) -> None:
    members, made, _ = sent
    fra = members["FRA"]
    (row,) = rows(fra, BULLETIN)
    shown = fra.do(read, ReadCommand(actor("FRA", "a"), row.bulletin.hex())).shown
    assert [one.portion.kind for one in shown.portions] == [PortionKind.TEXT, PortionKind.ATTACHMENT]
    assert read_attachment(shown.portions[1].portion.content) == made
    assert fra.do(read, ReadCommand(actor("FRA", "a"), row.bulletin.hex(), "FRA")).shown == shown
    low = UserRow(user("FRA", "low"), "low", "analyst", "R1", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), low))
    for reader, originator in (("low", ""), ("a", "USA")):
        with pytest.raises(DeliveryError, match="NOT_FOUND"):
            fra.do(read, ReadCommand(actor("FRA", reader), row.bulletin.hex(), originator))


def test_whole_stays_beside_the_word_when_the_text_is_read(sent: Any) -> None:
    members, _, frames = sent
    fra, usa = members["FRA"], members["USA"]
    taken = arrive(usa, fra, frames["USA"])
    whole = usa.do(arrived, usa.ask(first_wanted, "FRA", (), NOW).place)
    for outbound in (*whole.outbound, *taken.effects.outbound):
        arrive(fra, usa, outbound.frame)
    (pair,) = [row for row in rows(fra, PAIR) if row.recipient == "USA"]
    assert pair.codes == "WHOLE"
    (inbox,) = rows(usa, INBOX)
    shown = usa.do(read, ReadCommand(actor("USA", "a"), inbox.bulletin.hex())).shown
    assert [one.portion.kind for one in shown.portions] == [PortionKind.TEXT, PortionKind.ATTACHMENT]


def test_only_who_was_granted_the_portion_gets_its_pieces(sent: Any) -> None:
    members, made, frames = sent
    fra, ken = members["FRA"], members["KEN"]
    arrive(ken, fra, frames["KEN"])
    assert rows(ken, FILE) == []
    asked = pieces_id(made.pieces)
    assert fra.ask(serves, USA, asked, NOW) is not None
    assert fra.ask(serves, KEN, asked, NOW) is None
    assert fra.ask(serves, MemberCode("DEU"), asked, NOW) is None
    assert fra.ask(serves, USA, Digest(bytes(32)), NOW) is None


def test_nothing_is_served_before_it_is_handed_over(members: Any) -> None:
    fra = members["FRA"]
    made = uploaded(fra)
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is None
    send(fra, draft(portion(made), to=["USA"]))
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is None
    hand_over(fra, "USA")
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is not None


def test_who_accepted_a_release_that_was_taken_back_for_a_stolen_key_gets_its_files(sent: Any) -> None:
    """Its receipt counts, and the pair does not go again: nothing would hand it over once more."""
    members, made, frames = sent
    fra, usa = members["FRA"], members["USA"]
    taken = arrive(usa, fra, frames["USA"])
    stolen(members)
    fra.do(sign_anew, ())
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is None
    for outbound in taken.effects.outbound:
        arrive(fra, usa, outbound.frame)
    assert hand_over(fra, "USA") == ()
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is not None


def test_what_the_law_denies_now_is_not_given_any_more(sent: Any) -> None:
    """Also in the middle of a file that was accepted: a release that was made keeps its text."""
    members, made, frames = sent
    fra, usa = members["FRA"], members["USA"]
    taken = arrive(usa, fra, frames["USA"])
    for outbound in taken.effects.outbound:
        arrive(fra, usa, outbound.frame)
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is not None
    with_law(fra, FORBID)
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is None


def test_a_recall_ends_the_file_at_both_ends(sent: Any) -> None:
    members, made, frames = sent
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, frames["USA"])
    (inbox,) = rows(usa, INBOX)
    taken = fra.do(recall, RecallCommand(actor("FRA", "a"), inbox.bulletin.hex(), "wrong"))
    assert taken.effects.marked
    assert fra.ask(serves, USA, pieces_id(made.pieces), NOW) is None
    (copy,) = [row for row in rows(fra, SECRET) if row.md.startswith(place())]
    assert not any(copy.sealed)
    for outbound in taken.effects.outbound:
        if outbound.peer == "USA":
            arrive(usa, fra, outbound.frame)
    for member, bulletins in ((fra, 0), (usa, 1)):
        over = member.store.ask_now(marked)
        assert (len(over.bulletins), len(over.files)) == (bulletins, 1)
        assert states(member) == [FileState.GONE]
        member.do(finish, over)
        assert rows(member, FILE) == []
        assert not member.store.ask_now(marked)


def test_a_file_that_comes_with_its_own_recall_is_not_asked_for(sent: Any) -> None:
    """Both in one frame: the rows of the release are not in the view yet."""
    members, _, frames = sent
    fra, usa = members["FRA"], members["USA"]
    bulletin = rows(fra, PAIR)[0].md
    arrive(usa, fra, frames["USA"])
    assert states(usa) == [FileState.WANTED]
    from intelshare.broker.kernel.transaction import Transaction
    from intelshare.broker.lifecycle.attachments import end_received, want
    from intelshare.crypto.records import Precedence

    def both(node: Any, view: Any, now: Any, random: Any) -> Any:
        tx = Transaction(node, view, now, random)
        want(
            tx, MemberCode("FRA"), replace_md(bulletin), [(3, portion(uploaded_record()))], Precedence.ROUTINE
        )
        end_received(tx, replace_md(bulletin))
        return tx.plan(None)

    usa.do(both)
    assert sorted(states(usa)) == [FileState.WANTED, FileState.GONE]


def replace_md(md: Any) -> Any:
    return type(md)(bytes(reversed(md)))


def uploaded_record() -> Attachment:
    return Attachment(0, bytes(32), bytes(24), (bytes(32),))


def test_expiry_ends_the_file_at_both_ends(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    made = uploaded(fra)
    send(fra, replace(draft(portion(made), to=["USA"]), valid_until=Instant(NOW + HOUR)))
    arrive(usa, fra, hand_over(fra, "USA")[0].frame)
    later = Instant(NOW + HOUR)
    assert fra.ask(serves, USA, pieces_id(made.pieces), later) is None
    for member in (fra, usa):
        assert member.store.ask_now(lambda view: anything_over(view, later))
        assert member.do(expire, at=later).marked
        assert states(member) == [FileState.GONE]


def test_an_upload_that_no_bulletin_takes_ends_after_a_day(members: Any) -> None:
    fra = members["FRA"]
    begun(fra, 1)
    uploaded(fra, 2)
    fra.do(expire, at=Instant(NOW + DAY))
    assert states(fra) == [FileState.GONE, FileState.GONE]
    assert all(not any(row.sealed) for row in rows(fra, SECRET))


def test_the_same_upload_again_goes_on_with_the_same_key(members: Any) -> None:
    fra = members["FRA"]
    assert begun(fra) == begun(fra)
    made = uploaded(fra)
    assert uploaded(fra) == made
    send(fra, draft(portion(made), to=["USA"]))
    assert uploaded(fra) == made
    assert states(fra) == [FileState.KEPT]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"size": 3}, "ID_CONFLICT"),
        ({"by": "r"}, "ID_CONFLICT"),
        ({"size": MAX_FILE + 1, "number": 2}, "TOO_LARGE"),
    ],
)
def test_an_upload_is_refused(members: Any, change: dict[str, Any], code: str) -> None:
    begun(members["FRA"])
    with pytest.raises(DeliveryError) as error:
        begun(members["FRA"], **change)
    assert error.value.code == code


def test_uploads_of_one_user_are_bounded(members: Any) -> None:
    for number in range(MAX_UPLOADS):
        begun(members["FRA"], number)
    with pytest.raises(DeliveryError, match="RATE"):
        begun(members["FRA"], 100)
    begun(members["FRA"], 101, by="r")


def test_a_bulletin_takes_only_what_its_author_has_uploaded_and_once(members: Any) -> None:
    fra = members["FRA"]
    made = uploaded(fra)
    with pytest.raises(DeliveryError, match="NOT_FOUND"):
        send(fra, draft(portion(made), to=["USA"]), by="r")
    with pytest.raises(DeliveryError, match="INPUT_INVALID"):
        send(fra, draft(portion(made), portion(made), to=["USA"]))
    first = send(fra, draft(portion(made), to=["USA"]), key="one")
    with pytest.raises(DeliveryError, match="NOT_FOUND"):
        send(fra, draft(portion(made), to=["USA"]), key="two")
    assert send(fra, draft(portion(made), to=["USA"]), key="one") == first


def test_a_portion_that_is_no_attachment_is_refused(members: Any) -> None:
    broken = replace(portion(uploaded(members["FRA"])), content=b"no record")
    with pytest.raises(LabelError, match="INPUT_INVALID"):
        send(members["FRA"], draft(broken, to=["USA"]))
