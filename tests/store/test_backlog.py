"""The pure buffer of rows."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.store.backlog import Backlog
from ollamamax.store.ledger_row import LedgerRow


def started(identifier: str) -> LedgerRow:
    """A row of a request that runs."""
    return LedgerRow(id=identifier, started_at=1.0, endpoint="/api/chat")


def finished(identifier: str, tokens: int = 0) -> LedgerRow:
    """A row of a request that is over."""
    return attrs.evolve(started(identifier), finished_at=2.0, outcome="success", output_tokens=tokens)


def test_started_and_finished_are_one_row() -> None:
    """A request that is over before its started row was taken is one row, at the place of the first."""
    backlog = Backlog(10)
    for row in (started("a"), started("b"), finished("a"), started("a")):
        backlog.add(row)
    assert backlog.take(10) == [finished("a"), started("b")]
    assert len(backlog) == 2


def test_the_first_final_row_stays() -> None:
    """Of two final rows of one id the first one stays."""
    backlog = Backlog(10)
    backlog.add(finished("a", tokens=1))
    backlog.add(finished("a", tokens=2))
    assert backlog.take(10) == [finished("a", tokens=1)]


def test_final_row_waits_while_its_started_row_is_written() -> None:
    """A final row that comes while its started row is being written is of the next batch; a repetition is nothing."""
    backlog = Backlog(10)
    backlog.add(started("a"))
    backlog.take(10)
    backlog.add(started("a"))
    assert backlog.waiting == 0
    backlog.add(finished("a"))
    backlog.written()
    assert backlog.take(10) == [finished("a")]
    backlog.add(finished("a", tokens=9))
    assert len(backlog) == 1


def test_a_batch_that_was_not_written_comes_first_again() -> None:
    """Rows that come back wait before those that came later, and take their final rows with them."""
    backlog = Backlog(10)
    backlog.add(started("a"))
    backlog.add(started("b"))
    backlog.take(10)
    backlog.add(finished("b"))
    backlog.add(started("c"))
    assert backlog.oldest == 1
    backlog.returned()
    assert backlog.oldest == 1
    assert backlog.take(10) == [started("a"), finished("b"), started("c")]


def test_a_final_row_takes_the_place_of_its_returned_one() -> None:
    """It is the same request, so it waits as long as that one did; it is written once."""
    backlog = Backlog(10)
    backlog.add(started("a"))
    backlog.add(started("b"))
    backlog.take(1)
    backlog.add(finished("a"))
    backlog.returned()
    assert (backlog.oldest, backlog.waiting, len(backlog)) == (1, 2, 2)
    assert backlog.take(10) == [finished("a"), started("b")]


def test_a_batch_is_bounded() -> None:
    """A batch holds the oldest rows, no more than were asked for."""
    backlog = Backlog(10)
    for name in "abc":
        backlog.add(started(name))
    assert backlog.take(2) == [started("a"), started("b")]
    assert (backlog.waiting, len(backlog)) == (1, 3)
    backlog.written()
    assert backlog.oldest == 3
    backlog.take(2)
    backlog.written(refused=1)
    assert backlog.oldest is None
    assert backlog.dropped == 1
    backlog.written(refused=2)
    assert backlog.dropped == 3


def test_rows_beyond_the_capacity_are_dropped_and_counted() -> None:
    """A full backlog drops new rows, not the final rows of those that it has or had; each request is counted once."""
    backlog = Backlog(2)
    assert backlog.has_room
    for row in (started("a"), started("b"), started("c"), finished("a")):
        backlog.add(row)
    assert (backlog.dropped, backlog.has_room) == (0, False)
    assert backlog.take(10) == [finished("a"), started("b")]
    backlog.add(finished("b"))
    backlog.add(finished("c"))
    assert (len(backlog), backlog.dropped) == (3, 1)
    backlog.returned()
    assert len(backlog) == 2
    backlog.drop_all()
    assert (len(backlog), backlog.dropped) == (0, 3)


def test_the_end_of_what_was_begun_always_has_room() -> None:
    """However full it is: once, and not for a row that was dropped, or whose end was told before."""
    backlog = Backlog(1)
    backlog.add(started("begun"))
    backlog.take(1)
    backlog.written()
    for row in (finished("other"), finished("begun"), started("dropped"), finished("dropped")):
        backlog.add(row)
    assert backlog.take(10) == [finished("other"), finished("begun")]
    backlog.written()
    for row in (finished("more"), finished("begun")):
        backlog.add(row)
    assert (backlog.take(10), backlog.dropped) == ([finished("more")], 2)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abcde"), st.booleans()),
            st.tuples(st.sampled_from(["take", "written", "returned"]), st.just(""), st.just(False)),
        ),
        max_size=60,
    )
)
def test_nothing_is_lost_or_written_twice(steps: list[tuple[str, str, bool]]) -> None:
    """However rows and batches interleave, a database with the same rule ends with what was told, each once."""
    backlog = Backlog(100)
    table: dict[str, LedgerRow] = {}
    batch: list[LedgerRow] = []
    told: dict[str, bool] = {}

    def commit() -> None:
        for row in batch:
            if row.id not in table or (row.is_final and not table[row.id].is_final):
                table[row.id] = row
        batch.clear()
        backlog.written()

    for step, identifier, is_final in steps:
        if step == "add":
            backlog.add(finished(identifier) if is_final else started(identifier))
            told[identifier] = told.get(identifier, False) or is_final
        elif step == "take" and not batch:
            batch = backlog.take(2)
            assert len({row.id for row in batch}) == len(batch) <= 2
        elif step == "written" and batch:
            commit()
        elif step == "returned" and batch:
            batch.clear()
            backlog.returned()
    commit()
    while backlog.waiting:
        batch = backlog.take(2)
        commit()
    assert {identifier: row.is_final for identifier, row in table.items()} == told
    assert (len(backlog), backlog.dropped, backlog.oldest) == (0, 0, None)
