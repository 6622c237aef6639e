"""Markdown tables: what stands in a cell stays in it."""

from intelshare.cli.shared.markdown import markdown_table


def test_a_cell_cannot_leave_its_place() -> None:
    assert markdown_table(("a", "b"), [("x|y", "one\ntwo"), ("", "é")]) == (
        "| a | b |\n| --- | --- |\n| x\\|y | one\\ntwo |\n|  | é |"
    )
