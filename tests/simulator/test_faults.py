"""Which fault a prompt or an option asks for, and who gets one that is drawn."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator.faults import KINDS, Fault, FaultDraw, Share, asked_for, checked_shares, parsed_share

COUNTED = ("inband", "stall", "reset", "truncate", "noend", "garbage")


def test_each_kind_has_its_word() -> None:
    """In capitals, as a whole word, wherever it stands."""
    for kind in KINDS:
        usual = 1000 if kind == "slow" else 6
        for prompt in (kind.upper(), f"please {kind.upper()}, now", f"({kind.upper()})"):
            assert asked_for(prompt) == Fault(kind, usual)
        for prompt in (kind, f"X{kind.upper()}", f"{kind.upper()}S", f"{kind.upper()}_1"):
            assert asked_for(prompt) is None


def test_a_number_stands_behind_the_word() -> None:
    """After one space, for those that count."""
    for kind in KINDS:
        for number in (0, 3, 999_999_999):
            counted = kind in (*COUNTED, "slow")
            assert asked_for(f"{kind.upper()} {number} LIMIT 9") == (Fault(kind, number) if counted else Fault(kind))


@pytest.mark.parametrize(
    ("prompt", "fault"),
    [
        ("", None),
        ("DIE CUT HTTP500", Fault("http500")),
        ("DIE CUT", Fault("cut")),
        ("SLOW 5 RESET 3", Fault("reset", 3)),
        ("HANG 3", Fault("hang")),
        ("RESET  3", Fault("reset")),
        ("RESET 3x", Fault("reset")),
        ("RESET -3", Fault("reset")),
        ("RESET 1234567890", Fault("reset")),
        ("RESET then STALL 2", Fault("stall", 2)),
    ],
)
def test_what_a_prompt_asks_for(prompt: str, fault: Fault | None) -> None:
    """The first of several in the order of the list; a number that is none is not one."""
    assert asked_for(prompt) == fault


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("reset=3:0.1", Share(Fault("reset", 3), 0.1)),
        ("reset:1", Share(Fault("reset"), 1.0)),
        ("slow=250:0.5", Share(Fault("slow", 250), 0.5)),
        ("slow:0.5", Share(Fault("slow", 1000), 0.5)),
        ("truncate=0:1e-3", Share(Fault("truncate", 0), 0.001)),
        ("hang:.25", Share(Fault("hang"), 0.25)),
    ],
)
def test_shares_are_written_as_options(text: str, share: Share) -> None:
    """A kind, a number where it takes one, and how many."""
    assert parsed_share(text) == share


ONE_OF = "must be KIND[=N]:SHARE with one of " + ", ".join(KINDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{ONE_OF}, not ''"),
        ("reset", f"{ONE_OF}, not 'reset'"),
        ("RESET:0.1", f"{ONE_OF}, not 'RESET:0.1'"),
        ("fly:0.1", f"{ONE_OF}, not 'fly:0.1'"),
        ("hang=3:0.1", "hang takes no number, in 'hang=3:0.1'"),
        ("reset=:0.1", "'' is no whole number of tokens, in 'reset=:0.1'"),
        ("reset=-1:0.1", "'-1' is no whole number of tokens, in 'reset=-1:0.1'"),
        ("slow=fast:0.1", "'fast' is no whole number of ms, in 'slow=fast:0.1'"),
        *(
            (f"cut:{share}", f"the share must be above 0 and at most 1, not {share!r}, in 'cut:{share}'")
            for share in ("", "0", "-1", "1.01", "nan", "inf", "half")
        ),
    ],
)
def test_what_is_no_share_is_said_in_one_line(text: str, message: str) -> None:
    """The part that is wrong, and what it may be."""
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}\Z"):
        parsed_share(text)


@given(st.text(max_size=20))
def test_any_text_is_a_share_or_none(text: str) -> None:
    """Whatever stands on a command line, a share comes out or the one error."""
    try:
        share = parsed_share(text)
    except ValueError:
        return
    assert 0 < share.share <= 1


def test_shares_are_parts_of_a_whole() -> None:
    """All of the requests and no more, whatever floating point makes of tenths."""
    checked_shares([])
    checked_shares([Share(Fault("cut"), 0.1)] * 10)
    with pytest.raises(ValueError, match=r"\Athe shares add up to 1.1, more than all requests\Z"):
        checked_shares([Share(Fault("cut"), 0.6), Share(Fault("hang"), 0.5)])


def test_the_seed_draws_the_same_again() -> None:
    """And another one draws otherwise; without shares nothing is drawn."""
    shares = [Share(Fault("cut"), 0.2), Share(Fault("reset", 3), 0.3)]
    drawn = [[draw.draw() for _ in range(2000)] for draw in (FaultDraw(shares, seed) for seed in (1, 1, 2))]
    assert drawn[0] == drawn[1] != drawn[2]
    counts = Counter(drawn[0])
    assert counts[Fault("cut")] / 2000 == pytest.approx(0.2, abs=0.03)
    assert counts[Fault("reset", 3)] / 2000 == pytest.approx(0.3, abs=0.03)
    assert counts[None] == 2000 - counts[Fault("cut")] - counts[Fault("reset", 3)]
    assert FaultDraw([], 1).draw() is None
    assert FaultDraw([Share(Fault("die"), 1.0)], 1).draw() == Fault("die")
