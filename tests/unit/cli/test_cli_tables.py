"""The recipient table: one row per recipient and outcome, with the basis or the reason and its line."""

from __future__ import annotations

from intelshare.cli.shared.output import align
from intelshare.cli.shared.tables import duration, explanation, outbox_table, pair_table, recipient_table
from intelshare.wire.v1 import user_pb2 as pb


def portion(
    position: int, treaty: str = "", article: str = "", reason: tuple[str, str, str] | None = None
) -> pb.PortionDecision:
    if reason is not None:
        code, detail, place = reason
        return pb.PortionDecision(
            position=position, outcome="deny", reasons=[pb.Reason(code=code, detail=detail, place=place)]
        )
    return pb.PortionDecision(
        position=position, outcome="allow", basis=treaty, articles=[article], obligations=["attribution"]
    )


CEILING = ("EXCEEDS_CEILING", "SECRET > RESTRICTED", "demo-climate.toml:11")
PAIRS = [
    pb.PairDecision(
        recipient="USA",
        word="queued",
        portions=[portion(0, "gsa-fra-usa", "art. 4"), portion(1, "gsa-fra-usa", "art. 4")],
    ),
    pb.PairDecision(
        recipient="KEN",
        word="queued",
        portions=[portion(0, reason=CEILING), portion(1, "demo-climate", "art. 2")],
    ),
    pb.PairDecision(recipient="NOR", word="withheld", portions=[portion(0, reason=("NO_TREATY", "", ""))]),
]


def test_the_table_of_the_demo() -> None:
    states = {
        "USA": pb.OutboxPair(recipient="USA", word="accepted", took=41_000),
        "KEN": pb.OutboxPair(recipient="KEN", word="accepted", took=44_900),
    }
    table = recipient_table(PAIRS, states)
    assert align([table.columns, *table.rows]) == [
        "recipient  portions  decision  basis                                 state                   time",
        "USA        2 of 2    released  gsa-fra-usa art. 4                    accepted                41 ms",
        "KEN        1 of 2    released  demo-climate art. 2                   accepted                44 ms",
        "                     withheld  EXCEEDS_CEILING: SECRET > RESTRICTED  (demo-climate.toml:11)",
        "NOR        0 of 1    withheld  NO_TREATY                             withheld",
    ]


def test_an_explanation_names_basis_obligations_and_every_reason() -> None:
    lines = explanation(PAIRS[1:2], ["(//FRA S)", "(//FRA DR)"])
    assert lines == [
        "KEN: queued",
        "  portion 1  (//FRA S)  withheld",
        "    because      EXCEEDS_CEILING: SECRET > RESTRICTED   (demo-climate.toml:11)",
        "  portion 2  (//FRA DR)  released",
        "    basis        demo-climate art. 2",
        "    obligations  attribution",
    ]


def test_durations_are_short() -> None:
    assert [duration(n) for n in (0, 1, 41_000, 3_200_000, 300_000_000)] == [
        "",
        "1 ms",
        "41 ms",
        "3.2 s",
        "5 min",
    ]


def test_a_bulletin_whose_content_was_purged_is_marked_in_the_list() -> None:
    kept = pb.OutboxEntry(bulletin=bytes(16), title="Kit")
    gone = pb.OutboxEntry(bulletin=bytes(16), recalled_at=1, purged_at=1)
    table = outbox_table([kept, gone])
    assert [row[table.columns.index("note")] for row in table.rows] == ["", "recalled, content purged"]


def test_the_record_of_a_damaged_pair_stands_in_place_of_its_member() -> None:
    accepted = pb.OutboxPair(recipient="KEN", word="accepted")
    named = "a record of pair does not match its digest: 3f3f3f3f, USA"
    entry = pb.OutboxEntry(bulletin=bytes(16), pairs=[accepted], damaged=[named])
    table = outbox_table([entry, pb.OutboxEntry(bulletin=bytes(16), pairs=[accepted])])
    place = table.columns.index("recipients")
    assert [row[place] for row in table.rows] == [f"KEN accepted, {named}", "KEN accepted"]
    assert [row[0] for row in pair_table(entry).rows] == ["KEN", named]
