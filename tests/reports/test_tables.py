"""Lines of a table."""

from __future__ import annotations

from ollamamax.reports.tables import Column, Table


def test_cells_stand_below_one_another() -> None:
    """Text from the left, numbers to the right, as wide as the widest cell, without spaces at the end."""
    table = Table([Column("model"), Column("n", to_the_right=True), Column("user")])
    rows = [["東京", "1,234", "a"], ["tiny:latest", "7", ""]]
    table.fit(rows)
    assert [table.head(), *map(table.line, rows)] == [
        "model            n  user",
        "東京         1,234  a",
        "tiny:latest      7",
    ]


def test_a_column_grows_when_it_has_to() -> None:
    """Rows that come later keep the width of those before, and make room for what is wider."""
    table = Table([Column("a", narrowest=4), Column("b")])
    assert [table.line(["x", "y"]), table.line(["wider", "y"]), table.line(["x", "y"])] == [
        "x     y",
        "wider  y",
        "x      y",
    ]
