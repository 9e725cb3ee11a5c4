"""Accounts in a file, and what of them only others' accounts are compared with."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from simulator.world import World

from ollamamax.simulator.account_file import AccountFile
from ollamamax.simulator.accounts import Account
from ollamamax.simulator.settings import THINKER


def test_a_line_for_each(tmp_path: Path) -> None:
    """Whole as soon as it is added, behind what was there before."""
    path = tmp_path / "accounts"
    first = Account("POST", "/api/chat", 1.5, "a\nb", tokens=3, first_token_at=2.5)
    second = Account("GET", "/", 2.0)
    for account in (first, second):
        file = AccountFile(path)
        file.add(account)
        assert path.read_text().endswith("}\n")
        file.close()
    told = [Account(**json.loads(line)) for line in path.read_text().splitlines()]
    assert [attrs.asdict(each) for each in told] == [attrs.asdict(first), attrs.asdict(second)]


def test_nowhere_to_write(tmp_path: Path) -> None:
    """Is found out at once."""
    with pytest.raises(FileNotFoundError):
        AccountFile(tmp_path / "absent" / "accounts")


@pytest.mark.parametrize(
    ("prompt", "stream", "tokens_before"),
    [("LIMIT 4", True, 0), ("LIMIT 4", False, None), ("THINK LIMIT 4", True, 1), ("NOEND 0", True, None)],
)
def test_when_the_first_token_was_shown(prompt: str, stream: bool, tokens_before: int | None) -> None:
    """The mark before a thought is none; a whole answer shows all at once, and a stream of nothing nothing."""
    world = World((THINKER,))
    world.warmed("thinker")
    now = world.clock.seconds()
    world.generate(prompt, "thinker", stream=stream)
    world.pass_until(now + 5.0)
    expected = None if tokens_before is None else now + 0.007 + tokens_before / 40.0
    assert world.accounts()[-1].first_token_at == pytest.approx(expected)
