"""What observing costs: the requests per second of a gateway that observes everything, and of one that is blind.

Both run side by side before the same node, which has its answers ready; windows of load take turns between them. What
is compared are the medians of the windows' requests per second, and the processor's time that each request took, which
other load on the machine changes less. The observing one is scraped in each of its windows. Aim: at most 15 % of the
requests per second.

Observing costs the same for each request, however long its answer is. So there are two loads: streams of 200 tokens, as
a chat has them, and of 20, which no model is fast enough for: the worst case.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from clients import Asking, posted
from processes import Gateway, Program

LOADS = {"a chat of 200 tokens": 200, "a chat of 20 tokens": 20}


def chat(tokens: int) -> bytes:
    """A streamed chat."""
    message = {"role": "user", "content": "x"}
    return posted(
        "/api/chat", {"model": "tiny", "messages": [message], "options": {"num_predict": tokens}}, close=False
    )


async def load(
    gateway: Gateway, request: bytes, connections: int, seconds: float, *, scrape: bool
) -> tuple[float, float]:
    """Asks for the same on so many connections at once.

    Returns:
        Requests per second, and milliseconds of the processor's time for each.
    """
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Asking(request), "127.0.0.1", gateway.port)
        clients.append(client)
    await asyncio.sleep(0.5)
    answered, spent, began = sum(client.answers for client in clients), gateway.cpu_seconds(), time.perf_counter()
    if scrape:
        await asyncio.sleep(seconds / 2)
        await asyncio.to_thread(gateway.get, "/metrics")
    await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
    answered = sum(client.answers for client in clients) - answered
    spent, took = gateway.cpu_seconds() - spent, time.perf_counter() - began
    for client in clients:
        client.stop()
    await asyncio.sleep(0.2)
    return answered / took, spent / max(1, answered) * 1000


async def measure(gateways: dict[str, Gateway], arguments: argparse.Namespace) -> None:
    """Prints everything."""
    for name, tokens in LOADS.items():
        print(f"{name}:")
        await compare(gateways, chat(tokens), arguments)


async def compare(gateways: dict[str, Gateway], request: bytes, arguments: argparse.Namespace) -> None:
    """Prints what one load costs."""
    for gateway in gateways.values():
        await load(gateway, request, arguments.connections, 2.0, scrape=False)  # until everything is warm
    rates, costs = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for run in range(1, arguments.runs + 1):
        for name, gateway in gateways.items() if run % 2 else reversed(gateways.items()):
            found = await load(gateway, request, arguments.connections, arguments.seconds, scrape=name == "on")
            rates[name].append(found[0])
            costs[name].append(found[1])
            print(
                f"  run {run}: {name:3} {found[0]:8.1f} requests/s, {found[1]:.3f} ms of the processor each", flush=True
            )
    rate = {name: statistics.median(found) for name, found in rates.items()}
    cost = {name: statistics.median(found) for name, found in costs.items()}
    lost, spent = 1 - rate["on"] / rate["off"], cost["on"] - cost["off"]
    more = spent / cost["off"]
    print(f"  medians: on {rate['on']:.1f}, off {rate['off']:.1f} requests/s: {lost:.1%} lost (aim: at most 15 %)")
    print(
        f"           on {cost['on']:.3f}, off {cost['off']:.3f} ms of the processor: {spent:.3f} ms ({more:.1%}) more"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-observability-") as name:
        folder = Path(name)
        with Program("canned_node.py", [], folder / "node") as node:
            (url,) = node.said("listening on ")
            with Gateway([url], folder / "on") as on, Gateway([url], folder / "off", "--blind") as off:
                asyncio.run(measure({"on": on, "off": off}, arguments))


if __name__ == "__main__":
    main()
