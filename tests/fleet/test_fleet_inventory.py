"""Merged lists: what several nodes have, as one Ollama would show it."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.answers import ModelEntry, ResidentEntry
from ollamamax.fleet.instants import parse_instant
from ollamamax.fleet.inventory import Stock, merged_models, merged_residents, replicas, summaries
from ollamamax.names import normalized


def _model(name: str, digest: str = "d", modified_at: str = "2026-01-01T00:00:00Z", **more: object) -> ModelEntry:
    return cast("ModelEntry", {"name": name, "digest": digest, "modified_at": modified_at, "size": 1, **more})


def _resident(name: str, expires_at: str = "2026-01-01T00:00:00Z", size: int = 4, size_vram: int = 3) -> ResidentEntry:
    return {"name": name, "size": size, "digest": "d", "expires_at": expires_at, "size_vram": size_vram}


def _stock(node: str, *models: ModelEntry, resident: tuple[ResidentEntry, ...] = (), up: bool = True) -> Stock:
    return Stock(
        node,
        up,
        {normalized(entry["name"]): entry for entry in models},
        {normalized(entry["name"]): entry for entry in resident},
    )


_TIMES = st.builds(
    "2026-01-01T00:00:0{}.{}{}".format, st.integers(0, 3), st.integers(0, 3), st.sampled_from(["Z", "+01:00"])
) | st.just("nonsense")
_STOCKS = st.lists(
    st.tuples(
        st.lists(st.builds(_model, st.sampled_from("abcd"), st.sampled_from(["d1", "d2", "d3"]), _TIMES)),
        st.lists(st.builds(_resident, st.sampled_from("abcd"), _TIMES, st.integers(0, 9), st.integers(0, 9))),
        st.booleans(),
    ),
    max_size=5,
).map(
    lambda drawn: [
        _stock(f"n{number}", *models, resident=tuple(resident), up=up)
        for number, (models, resident, up) in enumerate(drawn)
    ]
)


def _second(text: str) -> int:
    instant = parse_instant(text)
    return -(2**62) if instant is None else instant.seconds


def test_one_node_comes_out_as_it_went_in() -> None:
    """Models of one second stay in the node's order, as recorded: Ollama sorts by whole seconds."""
    entries = [
        _model("copy", modified_at="2026-11-23T00:04:33.670372397Z"),
        _model("tiny", modified_at="2026-11-23T00:04:28.415639622Z"),
        _model("thinker", modified_at="2026-11-23T00:04:28.415709586Z"),
    ]
    assert merged_models([_stock("a", *entries)]) == entries


def test_newest_first_over_nodes_and_zones() -> None:
    """The order is that of time, not of text."""
    old = _model("old", modified_at="2026-01-01T10:00:00+05:00")
    new = _model("new", modified_at="2026-01-01T06:00:00Z")
    unknown = _model("unknown", modified_at="")
    assert merged_models([_stock("a", unknown, old), _stock("b", new)]) == [new, old, unknown]


def test_digest_that_most_nodes_have() -> None:
    """The majority's entry is shown, as its first node sent it, unknown fields included."""
    first = _model("m", "d2", extra={"x": 1})
    stocks = [_stock("a", _model("m", "d1")), _stock("b", first), _stock("c", _model("m", "d2"), up=False)]
    assert merged_models(stocks) == [first]
    summary = summaries(stocks)[0]
    assert (summary["digest"], summary["digest_conflict"]) == ("d2", True)


def test_digest_of_equally_many_nodes() -> None:
    """Of equally many the one modified last, whatever the nodes' order; then the first node's."""
    older = _model("m", "d1", "2026-01-01T00:00:00.1Z")
    newer = _model("m", "d2", "2026-01-01T00:00:00.2Z")
    for stocks in ([_stock("a", older), _stock("b", newer)], [_stock("a", newer), _stock("b", older)]):
        assert merged_models(stocks) == [newer]
    early, latest = _model("m", "d1", "2025-01-01T00:00:00Z"), _model("m", "d1", "2026-01-01T00:00:00.3Z")
    pairs = [_stock("a", latest), _stock("b", newer), _stock("c", newer), _stock("d", early)]
    assert merged_models(pairs) == [latest]
    same = _model("m", "d3", "2026-01-01T00:00:00.2Z")
    assert merged_models([_stock("a", same), _stock("b", newer)]) == [same]


def test_residents_are_summed() -> None:
    """Sizes are summed and the expiry is the latest; the rest is the first node's."""
    forever = "2319-03-04T23:51:50.108017693Z"
    stocks = [
        _stock("a", resident=(_resident("m", "2026-01-01T00:00:00Z", 4, 3), _resident("n", "2026-05-01T00:00:00Z"))),
        _stock("b", resident=(_resident("m", forever, 10, 0),)),
        _stock("c", resident=(_resident("m", "2026-12-31T00:00:00-08:00", 1, 1),)),
    ]
    merged = merged_residents(stocks)
    assert [entry["name"] for entry in merged] == ["m", "n"]
    assert merged[0] == {"name": "m", "size": 15, "digest": "d", "expires_at": forever, "size_vram": 4}
    assert list(merged[0]) == ["name", "size", "digest", "expires_at", "size_vram"]


def test_who_stays_longest_is_listed_first() -> None:
    """By the latest expiry over all nodes and zones; what has no readable one is last, in the nodes' order."""
    soon, late = _resident("soon", "2026-01-01T10:00:00+05:00"), _resident("late", "2026-01-01T06:00:00Z")
    never, unsaid = _resident("never", "nonsense"), cast("ResidentEntry", {"name": "unsaid"})
    stocks = [_stock("a", resident=(never, soon)), _stock("b", resident=(unsaid, late))]
    assert merged_residents(stocks) == [late, soon, never, unsaid]


def test_residents_without_sizes() -> None:
    """Fields that no node sends are not invented; those of one node are taken as they are."""
    bare: ResidentEntry = {"name": "m"}
    assert merged_residents([_stock("a", resident=(bare,)), _stock("b", resident=(bare,))]) == [bare]
    merged = merged_residents([_stock("a", resident=(bare,)), _stock("b", resident=(_resident("m"),))])
    assert merged == [{"name": "m", "size": 4, "size_vram": 3, "expires_at": "2026-01-01T00:00:00Z"}]


def test_merging_changes_no_entry() -> None:
    """What a node sent is shared with the node and stays as it is."""
    entry = _resident("m")
    merged_residents([_stock("a", resident=(entry,)), _stock("b", resident=(_resident("m"),))])
    assert entry == _resident("m")


def test_summary() -> None:
    """Who has a model, down nodes included, where it is resident, and moments in UTC."""
    entry = _model(
        "Some/Thing:7B", "d", "2026-01-01T01:00:00+01:00", details={"family": "llama"}, capabilities=["tools"]
    )
    stocks = [_stock("a", entry, up=False), _stock("b", entry, resident=(_resident("some/thing:7b"),)), _stock("c")]
    assert summaries(stocks) == [
        {
            "id": "some/thing:7b",
            "name": "Some/Thing:7B",
            "digest": "d",
            "digest_conflict": False,
            "size_bytes": 1,
            "modified_at": "2026-01-01T00:00:00Z",
            "details": {"family": "llama"},
            "capabilities": ["tools"],
            "available": True,
            "nodes": ["a", "b"],
            "resident_on": ["b"],
        }
    ]


def test_summary_of_a_bare_entry() -> None:
    """What a node does not say is null."""
    summary = summaries([_stock("a", {"name": "m"}, up=False)])[0]
    told = [summary["digest"], summary["size_bytes"], summary["modified_at"], summary["details"]]
    assert told == [None] * 4
    assert summary["capabilities"] is None
    assert not summary["available"]


def test_replicas() -> None:
    """One line a node, with what is in its memory."""
    entry = _model("m")
    resident = _resident("m", "2319-03-04T23:51:50.1Z")
    stocks = [_stock("a", entry, up=False), _stock("b"), _stock("c", _model("m", "d2"), resident=(resident,))]
    found = replicas(stocks, "m:latest")
    assert found[0] == {
        "node": "a",
        "up": False,
        "digest": "d",
        "size_bytes": 1,
        "modified_at": "2026-01-01T00:00:00Z",
        "resident": False,
        "size_vram_bytes": None,
        "expires_at": None,
    }
    assert found[1]["node"] == "c"
    assert (found[1]["resident"], found[1]["size_vram_bytes"]) == (True, 3)
    assert found[1]["expires_at"] == "2319-03-04T23:51:50.1Z"
    assert replicas(stocks, "other:latest") == []


def test_replica_of_a_bare_entry() -> None:
    """What a node does not say is null, of what it has and of what is in its memory."""
    bare: ResidentEntry = {"name": "m"}
    (replica,) = replicas([_stock("a", {"name": "m"}, resident=(bare,))], "m:latest")
    assert (replica["digest"], replica["size_bytes"], replica["modified_at"]) == (None, None, None)
    assert (replica["resident"], replica["size_vram_bytes"], replica["expires_at"]) == (True, None, None)


@given(_STOCKS)
def test_models_merge_to_one_entry_a_name(stocks: list[Stock]) -> None:
    """Every name once; its entry is a holder's own; no other digest has more votes; newest first."""
    merged = merged_models(stocks)
    names = [normalized(entry["name"]) for entry in merged]
    assert sorted(names) == sorted({name for stock in stocks for name in stock.models})
    for name, entry in zip(names, merged, strict=True):
        held = [stock.models[name] for stock in stocks if name in stock.models]
        assert any(entry is other for other in held)
        digests = [other.get("digest") for other in held]
        assert digests.count(entry.get("digest")) == max(digests.count(digest) for digest in digests)
    seconds = [_second(entry.get("modified_at", "")) for entry in merged]
    assert seconds == sorted(seconds, reverse=True)


@given(_STOCKS)
def test_residents_merge_to_one_entry_a_name(stocks: list[Stock]) -> None:
    """Nothing is lost in the sums, and no expiry is later than the one shown."""
    merged = merged_residents(stocks)
    everything = [entry for stock in stocks for entry in stock.resident.values()]
    assert sum(entry["size"] for entry in merged) == sum(entry["size"] for entry in everything)
    assert sum(entry["size_vram"] for entry in merged) == sum(entry["size_vram"] for entry in everything)
    assert len({entry["name"] for entry in merged}) == len(merged)
    for entry in merged:
        times = [_second(other["expires_at"]) for other in everything if other["name"] == entry["name"]]
        assert _second(entry["expires_at"]) == max(times)


@given(_STOCKS)
def test_summaries_agree_with_the_lists(stocks: list[Stock]) -> None:
    """The control plane and Ollama's own list tell the same digests, and replicas the same nodes."""
    shown = {normalized(entry["name"]): entry.get("digest") for entry in merged_models(stocks)}
    told = summaries(stocks)
    assert {summary["id"]: summary["digest"] for summary in told} == shown
    for summary in told:
        found = replicas(stocks, summary["id"])
        assert [replica["node"] for replica in found] == summary["nodes"]
        assert summary["digest_conflict"] == (len({replica["digest"] for replica in found}) > 1)
        assert summary["available"] == any(replica["up"] for replica in found)
