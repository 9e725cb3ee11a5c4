"""Options: their types, who wins, and what they change in a runner."""

from __future__ import annotations

import pytest

from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.options import context_length, integer, merged, signature

INTEGERS = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
    "draft_num_predict",
]
FLOATS = ["top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"]
BOOLEANS = ["use_mmap", "numa"]
RELOADING = [("num_batch", 1), ("num_gpu", 1), ("main_gpu", 1), ("num_thread", 1), ("use_mmap", True), ("num_ctx", 64)]
NO_NUMBERS: list[object] = ["7", True, False, [7], {}]
NO_BOOLEANS: list[object] = [1, "true", 0.0]
NO_LISTS: list[object] = ["x", 1, {}]
WRONG: list[tuple[str, object, str]] = [
    *((name, value, "integer") for name in INTEGERS for value in NO_NUMBERS),
    *((name, value, "float32") for name in FLOATS for value in NO_NUMBERS),
    *((name, value, "boolean") for name in BOOLEANS for value in NO_BOOLEANS),
    *(("stop", value, "array") for value in NO_LISTS),
]
RIGHT: list[tuple[str, object]] = [
    *((name, value) for name in INTEGERS for value in (7, -1)),
    *((name, value) for name in FLOATS for value in (0.5, 1)),
    *((name, value) for name in BOOLEANS for value in (True, False)),
    ("stop", ["x"]),
    ("flavour", {"of": "any type"}),
]


@pytest.mark.parametrize(("name", "value", "kind"), WRONG)
def test_a_value_of_the_wrong_type_is_refused_as_ollama_does(name: str, value: object, kind: str) -> None:
    """500, with the option and the type that was expected."""
    with pytest.raises(ApiFailure) as caught:
        merged({}, {name: value})
    assert (caught.value.status, caught.value.message) == (500, f'option "{name}" must be of type {kind}')


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_value_of_the_right_type_is_taken(name: str, value: object) -> None:
    """As it is; names that nobody knows too."""
    assert merged({}, {name: value}) == {name: value}


@pytest.mark.parametrize("name", INTEGERS)
def test_a_fraction_is_cut_off_a_whole_number(name: str) -> None:
    """JSON knows one kind of number; Ollama makes an integer of it."""
    value = merged({}, {name: 2.75})[name]
    assert value == 2
    assert isinstance(value, int)


def test_the_request_wins_over_the_model() -> None:
    """An option that the request leaves out or null stays the model's; the model's own options are not changed."""
    parameters: dict[str, object] = {"num_predict": 48, "seed": 1, "stop": ["a"]}
    assert merged(parameters, {"seed": 2, "num_predict": None, "top_k": 3}) == {
        "num_predict": 48,
        "seed": 2,
        "stop": ["a"],
        "top_k": 3,
    }
    assert parameters == {"num_predict": 48, "seed": 1, "stop": ["a"]}


def test_a_null_hides_no_later_option() -> None:
    """What comes after it is read."""
    assert merged({}, {"seed": None, "top_k": 3}) == {"top_k": 3}


def test_integers() -> None:
    """A whole number, or the default where there is none."""
    assert integer({"top_k": 3}, "top_k", 7) == 3
    assert integer({}, "top_k", 7) == 7
    assert integer({"top_k": "3"}, "top_k", 7) == 7


@pytest.mark.parametrize(
    ("asked", "model", "context"),
    [(None, 8192, 4096), (None, 2048, 2048), (512, 8192, 512), (1 << 20, 8192, 8192), (1, 8192, 4), (-1, 8192, 4)],
)
def test_context(asked: int | None, model: int, context: int) -> None:
    """4096 unless asked otherwise, at most the model's, at least 4."""
    assert context_length({} if asked is None else {"num_ctx": asked}, model) == context


@pytest.mark.parametrize(("name", "value"), RELOADING)
def test_options_that_need_another_runner(name: str, value: object) -> None:
    """Each of them makes another runner, and no two of them the same one."""
    plain = signature({}, 4096)
    assert signature({name: value}, 4096) != plain
    assert signature({name: value}, 4096) == signature({name: value, "seed": 1}, 4096)
    others = {signature({other: told}, 4096) for other, told in RELOADING}
    assert len(others) == len(RELOADING)


@pytest.mark.parametrize("name", sorted({*INTEGERS, *FLOATS, "numa"} - {other for other, _ in RELOADING}))
def test_options_that_need_none(name: str) -> None:
    """All others serve with the runner that is there."""
    assert signature({name: 1}, 4096) == signature({}, 4096)


def test_the_context_that_counts_is_the_one_in_force() -> None:
    """Two wishes beyond what the model was made for are the same runner."""
    assert signature({"num_ctx": 5000}, 4096) == signature({"num_ctx": 6000}, 4096) == signature({}, 4096)
