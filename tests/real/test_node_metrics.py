"""What is told of nodes: every state, every result of a probe and every cause of a load, each by its own real cause.

The node that loads models is a simulator with room for one of them; with `OLLAMAMAX_TEST_NODES=URL` it is a real one,
with `OLLAMA_MAX_LOADED_MODELS=1` and models `tiny` and `thinker` of different weights that take 0.3 s to load.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import httpx
import pytest
from real.callers import wait_for
from real.crooked_nodes import CROOKED, NAMES, crooked_nodes
from real.processes import Process, Processes
from real.samples import Series, samples, scraped

from ollamamax.fleet.nodes import PROBE_RESULTS
from ollamamax.fleet.residency import MAX_SHOWN

PATIENCE_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 5.0
OVERFLOWED = "ollamamax_metrics_series_overflowed_total"


@pytest.fixture(scope="module")
def crooked() -> Iterator[Mapping[str, str]]:
    """The URLs of all crooked nodes."""
    with crooked_nodes() as urls:
        yield urls


@attrs.frozen
class World:
    """A gateway before all these nodes.

    Attributes:
        gateway: the server; its node that loads models is called `loading`, the one that is not there `absent`.
        at_first: what it showed as soon as it listened.
    """

    gateway: Process
    at_first: dict[Series, float]

    def shown(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one metric of nodes, by their labels' values in the order of the labels' names."""
        found = samples(scraped(self.gateway.url), f"ollamamax_node_{name}")
        return {tuple(text for _, text in labels): value for (_, labels), value in found.items()}

    def ask(self, path: str, **body: object) -> httpx.Response:
        """A request that is answered well."""
        answer = httpx.post(self.gateway.url + path, json=body, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer

    def generate(self, model: str, **body: object) -> None:
        """A generation of three tokens."""
        self.ask("/api/generate", **{"model": model, "prompt": "LIMIT 3", "stream": False, **body})

    def loads(self) -> Counter[tuple[str, str]]:
        """Loads by model and cause."""
        return Counter(
            {(model, cause): int(n) for (cause, model, _), n in self.shown("model_loads_total").items() if n}
        )

    def resident(self) -> set[str]:
        """The models in the memory of the node that loads them."""
        return {model for model, node in self.shown("model_size_bytes") if node == "loading"}


@pytest.fixture(scope="module")
def world(shared_processes: Processes, crooked: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> World:
    """All of it, with the node `silent` still asked for the first time when the gateway is looked at first."""
    loading = (
        os.environ.get("OLLAMAMAX_TEST_NODES", "").split(",")[0]
        or shared_processes.simulator(
            "--max-loaded-models=1", "--load-seconds=0.3", "--tokens-per-second=500", "--model=tiny", "--model=thinker"
        ).url
    )
    urls = {"loading": loading, "absent": "http://127.0.0.1:9", **crooked}
    tables = [f'[nodes.{name}]\nurl = "{url}"\n' for name, url in urls.items()]
    tables[1] += 'memory_bytes = "24 GiB"\ndisk_bytes = "1 TB"\n'
    config = Path(tmp_path_factory.mktemp("settings")) / "ollamamax.toml"
    config.write_text(
        f"[probe]\ninterval_seconds = 0.5\ntimeout_seconds = {PROBE_TIMEOUT_SECONDS}\n" + "".join(tables), "utf-8"
    )
    gateway = shared_processes.gateway(f"--config={config}", ready=False)
    gateway.wait_listening()
    at_first = samples(scraped(gateway.url), "ollamamax_node_state")
    gateway.wait_ready()
    return World(gateway, at_first)


def test_nodes_are_in_one_state_each(world: World) -> None:
    """None is known before it was asked; then one that answers is up, any other one down."""
    before = {dict(labels)["state"]: n for (_, labels), n in world.at_first.items() if ("node", "silent") in labels}
    assert before == {"unprobed": 1, "up": 0, "down": 0}
    expected = dict.fromkeys(["absent", *CROOKED], "down") | {"loading": "up", "many": "up"}
    # One whose answer came too late, on a busy machine, is up again after the next probe.
    wait_for(lambda: {node: state for (node, state), n in world.shown("state").items() if n} == expected)
    assert len(world.shown("state")) == 3 * len(expected)


def test_probes_end_in_every_way(world: World) -> None:
    """Each node's are counted by what it does, and all other results of it are shown as 0."""
    expected = {"loading": "ok", "absent": "unreachable", **CROOKED}
    wait_for(lambda: all(world.shown("probes_total")[node, result] for node, result in expected.items()))
    shown = world.shown("probes_total")
    # On a machine that is busy with other things any probe may come too late.
    assert {key for key, n in shown.items() if n and key[1] != "timeout"} == set(expected.items()) - {
        ("silent", "timeout")
    }
    assert set(shown) == {(node, result) for node in expected for result in PROBE_RESULTS}


def test_sizes_are_set_or_learnt(world: World) -> None:
    """Memory and disk as the settings have them; what models take, as a node lists it; nothing is made up."""
    listed = httpx.get(f"{world.gateway.url}/api/tags", timeout=PATIENCE_SECONDS).json()["models"]
    own = {model["digest"]: model["size"] for model in listed if "digest" in model}
    assert world.shown("disk_bytes") == {("absent",): 1e12}
    assert world.shown("memory_bytes")["absent",] == 24 * 1024**3
    assert world.shown("models_size_bytes") == {("loading",): sum(own.values()), ("many",): NAMES}


def test_names_without_end_make_no_series(world: World) -> None:
    """A node that lists thousands of models, all of them loaded, shows a hundred; the others are counted."""
    for name in ("model_vram_bytes", "model_size_bytes"):
        assert sum(node == "many" for _, node in world.shown(name)) == MAX_SHOWN
    assert len({model for _, model, node in world.shown("model_loads_total") if node == "many"}) == MAX_SHOWN
    left_out = samples(scraped(world.gateway.url), OVERFLOWED)
    families = {dict(labels)["family"] for (_, labels), n in left_out.items() if n >= NAMES - MAX_SHOWN}
    assert families >= {"ollamamax_node_model_vram_bytes", "ollamamax_node_model_size_bytes"}


def test_loads_have_their_causes(world: World) -> None:
    """Each is driven by what it is named for; residency follows, and what has left memory leaves no series."""
    expected: Counter[tuple[str, str]] = Counter()

    def loaded(model: str, cause: str) -> None:
        expected[f"{model}:latest", cause] += 1
        assert world.loads() == expected

    def ask_openai(model: str) -> None:
        # Says nothing of loads, so that a slow machine's warm answer is not taken for one.
        world.ask("/v1/chat/completions", model=model, messages=[{"role": "user", "content": "LIMIT 3"}])

    world.generate("tiny")
    loaded("tiny", "first")
    assert world.resident() == {"tiny:latest"}
    (leaves_at,) = (at for (_, node), at in world.shown("model_expires_timestamp_seconds").items() if node == "loading")
    assert 60 < leaves_at - time.time() <= 301
    ask_openai("tiny")
    assert world.loads() == expected
    world.generate("tiny", options={"num_ctx": 2048})
    loaded("tiny", "options")
    world.generate("thinker")
    loaded("thinker", "first")
    assert world.resident() == {"thinker:latest"}
    world.generate("tiny")
    loaded("tiny", "evicted")
    ask_openai("thinker")
    loaded("thinker", "evicted")
    ask_openai("thinker")
    assert world.loads() == expected
    world.generate("tiny", keep_alive="2s")
    loaded("tiny", "evicted")
    wait_for(lambda: world.resident() == set())
    world.generate("tiny")
    loaded("tiny", "expired")
    world.ask("/api/generate", model="tiny", keep_alive=0)
    wait_for(lambda: world.resident() == set())
    world.generate("tiny")
    loaded("tiny", "other")
    assert {cause for cause, model, node in world.shown("model_loads_total") if node == "loading"} == {
        *("first", "expired", "evicted", "options", "other")
    }


def test_memory_is_learnt_from_what_was_loaded(world: World) -> None:
    """The most that was seen in the node's memory, if any of it lies in a GPU's."""
    world.generate("tiny")
    used = [taken for (_, node), taken in world.shown("model_vram_bytes").items() if node == "loading"]
    learnt = world.shown("memory_bytes").get(("loading",), 0.0)
    assert used
    assert learnt >= sum(used)


def test_a_slot_is_busy_while_it_is_held(world: World) -> None:
    """The time grows in the middle of a stream, and no longer once its client has gone."""
    key = ("tiny:latest", "loading")
    body = {"model": "tiny", "prompt": "LIMIT 5000", "options": {"num_predict": 5000}}
    with httpx.stream("POST", f"{world.gateway.url}/api/generate", json=body, timeout=PATIENCE_SECONDS) as stream:
        lines = stream.iter_lines()  # without a name it would end, and close the stream
        next(lines)
        first = world.shown("slot_busy_seconds_total")[key]
        wait_for(lambda: world.shown("slot_busy_seconds_total")[key] > first + 0.1)
    wait_for(lambda: not world.shown("in_flight")["loading",])
    last = world.shown("slot_busy_seconds_total")[key]
    assert last > first
    assert world.shown("slot_busy_seconds_total")[key] == last
