"""What a scrape costs: its size, its time, and how long running streams wait for it.

A gateway before eight simulated nodes with twenty models each; requests of every kind have filled the metrics. Then
streams run, and a scraper comes once a second, as Prometheus asks (OpenMetrics, gzip), or does not: windows with and
without it take turns, and the gaps between the tokens of all streams are compared, window by window. Aim: at most 5 ms
more at the 99th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from clients import Stream, answered, posted
from processes import Gateway, Program

PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "Accept_Encoding": "gzip",
}
NODES, MODELS = 8, 20
LONG = 100_000
"""Tokens of a stream that does not end by itself."""


def percentile(values: Sequence[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


def chat(model: int, tokens: int, path: str = "/api/chat", *, close: bool = True) -> bytes:
    """A streamed chat."""
    message = {"role": "user", "content": f"LIMIT {tokens}"}
    document = {"model": f"model{model}:7b", "messages": [message], "stream": True, "options": {"num_predict": tokens}}
    return posted(path, document, close=close)


async def fill(gateway: Gateway) -> None:
    """Has every model used on every node, by all kinds of requests, and every route answered."""
    for model in range(1, MODELS + 1):
        name = f"model{model}:7b"
        for request in (
            chat(model, 3),
            posted("/api/generate", {"model": name, "prompt": "LIMIT 3"}, close=True),
            posted("/api/embed", {"model": name, "input": "x"}, close=True),
            chat(model, 3, "/v1/chat/completions"),
        ):
            await asyncio.gather(*(answered(gateway.port, request) for _ in range(3 * NODES)))
        await answered(gateway.port, posted("/api/chat", {"model": name}, close=True))
    for path in ("", "api/tags", "api/ps", "api/version", "api/v1/models", "api/v1/nodes", "api/v1/health", "nowhere"):
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            request = f"{method} /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            await answered(gateway.port, request)


async def scrape_every_second(gateway: Gateway, until: float) -> list[float]:
    """Scrapes on a thread, so that nothing here waits for it; the seconds that each took."""
    times = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        await asyncio.to_thread(gateway.get, "/metrics", **PROMETHEUS)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, 1.0 - times[-1]))
    return times


def gaps(streams: Sequence[Stream], since: float, until: float) -> list[float]:
    """The times between the pieces of each stream that came in a window."""
    found = []
    for stream in streams:
        within = [at for at in stream.arrivals if since <= at < until]
        found += [after - before for before, after in pairwise(within)]
    return found


async def measure(gateway: Gateway, arguments: argparse.Namespace) -> None:
    """Prints everything."""
    await fill(gateway)
    body = gateway.get("/metrics", **PROMETHEUS)
    text = gzip.decompress(body).decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    places = {line.partition("}")[0] for line in samples if line.startswith("ollamamax_node_tokens_total{")}
    print(f"a scrape: {len(samples)} series, {len(text)} bytes, {len(body)} compressed")
    print(f"          tokens of {len(places) // 2} pairs of a node and a model, of {NODES * MODELS}")

    before = gateway.cpu_seconds()
    alone = []
    for _ in range(20):
        began = time.perf_counter()
        gateway.get("/metrics", **PROMETHEUS)
        alone.append(time.perf_counter() - began)
    spent = (gateway.cpu_seconds() - before) / len(alone) * 1000
    print(f"alone:    {statistics.median(alone) * 1000:.1f} ms each (median of 20), {spent:.1f} ms of the processor")

    loop = asyncio.get_running_loop()
    streams = []
    for number in range(arguments.streams):
        request = chat(number % MODELS + 1, LONG, close=False)
        _, stream = await loop.create_connection(partial(Stream, request), "127.0.0.1", gateway.port)
        streams.append(stream)
        await asyncio.sleep(0.013)  # so that they are not in step
    await asyncio.sleep(3.0)
    print(f"streams:  {len(streams)} at {arguments.tokens_per_second:g} tokens/s; gaps in ms, p50 p99 p99.9 max")
    added: list[tuple[float, float]] = []
    for run in range(1, arguments.runs + 1):
        seen = {}
        for scraping in (False, True):
            since = time.perf_counter()
            until = since + arguments.seconds
            took = await scrape_every_second(gateway, until) if scraping else []
            await asyncio.sleep(max(0.0, until - time.perf_counter()))
            found = gaps(streams, since, until)
            seen[scraping] = percentile(found, 0.5), percentile(found, 0.99)
            told = " ".join(f"{percentile(found, share):7.2f}" for share in (0.5, 0.99, 0.999, 1.0))
            scrapes = f", {len(took)} scrapes of {statistics.median(took) * 1000:.0f} ms" if took else ""
            print(
                f"  run {run} {'with   ' if scraping else 'without'} {told}  ({len(found)} gaps{scrapes})", flush=True
            )
        added.append((seen[True][0] - seen[False][0], seen[True][1] - seen[False][1]))
    p50, p99 = (statistics.median(one[at] for one in added) for at in (0, 1))
    print(f"added:    p50 {p50:+.2f} ms, p99 {p99:+.2f} ms (medians of {len(added)} runs; aim: p99 at most +5 ms)")
    observed = re.findall(
        r"\nollamamax_metrics_scrape_duration_seconds_(?:sum|count) (\S+)", gateway.get("/metrics").decode()
    )
    print(f"          by the server's own account: {' scrapes in '.join(observed)} s")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--tokens-per-second", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of a window")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-scrape-") as name:
        folder = Path(name)
        given = [str(NODES), str(MODELS), str(arguments.tokens_per_second)]
        with Program("nodes.py", given, folder / "nodes") as nodes:
            urls: list[str] = []
            while len(urls) < NODES:
                urls = nodes.said("listening on ")
            with Gateway(urls, folder / "gateway") as gateway:
                asyncio.run(measure(gateway, arguments))


if __name__ == "__main__":
    main()
