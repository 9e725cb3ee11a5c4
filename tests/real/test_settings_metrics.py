"""The settings `metrics` in force."""

from __future__ import annotations

from real.callers import call
from real.observed_settings import observes
from real.processes import Process, Processes
from real.samples import samples, scraped, value


@observes("metrics.cold_start_seconds")
def test_a_load_counts_as_a_cold_start_from_when_it_is_wanted(processes: Processes) -> None:
    """Two servers wait as long for a load; to the patient one it is none."""
    node = processes.simulator("--load-seconds=0.3", "--model=one", "--model=two")
    option = f"--node=node={node.url}"
    assert cold_starts(processes.gateway(option), "one") == 1
    patient = processes.gateway(option, environ={"OLLAMAMAX_METRICS_COLD_START_SECONDS": "60"})
    assert cold_starts(patient, "two") == 0


def cold_starts(server: Process, model: str) -> float:
    """How many there were, once a model was asked for that is in no memory."""
    answer = call(server.url, "POST", "/api/generate", {"model": model, "prompt": "LIMIT 3", "stream": False})
    assert answer.json()["load_duration"] > 0.3e9
    return value(samples(scraped(server.url)), "ollamamax_inference_cold_starts_total", model=f"{model}:latest")
