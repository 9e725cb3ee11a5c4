"""The official `anthropic` client, unmodified, before the gateway: `/v1/messages` gives what the node itself gives.

The node is a simulator; with `OLLAMAMAX_TEST_NODES=URL,…` the same calls go to real nodes, which need the models `tiny`
and `thinker`. How it fails is in `test_failing_clients.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from real.official import FLAVOURS, IMAGE, Ask, Compared, anthropic_client
from real.processes import Process

MESSAGES: list[Any] = [{"role": "user", "content": "hello LIMIT 6"}]
THINKING: dict[str, Any] = {
    "model": "thinker",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "THINK LIMIT 9"}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
CALLING: dict[str, Any] = {
    "model": "thinker",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "TOOL LIMIT 2"}],
    "tools": [
        {
            "name": "get_weather",
            "description": "weather",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
    ],
}


@pytest.fixture(scope="module", params=FLAVOURS)
def clients(request: pytest.FixtureRequest, gateway: Process, nodes: list[str]) -> Iterator[Compared]:
    """A client before the gateway and one before the first node itself, in both flavours."""
    with anthropic_client(request.param, gateway.url) as through, anthropic_client(request.param, nodes[0]) as direct:
        yield Compared(through, direct)


def test_a_message(clients: Compared) -> None:
    """A whole answer with its text, its end and its usage."""
    answer = clients.answer(lambda client: client.messages.create(model="tiny", messages=MESSAGES, max_tokens=50))
    assert [block.type for block in answer.content] == ["text"]
    assert len(answer.content[0].text.split()) == 6
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 6)
    assert answer.usage.input_tokens > 0


def test_a_streamed_message(clients: Compared) -> None:
    """The same as events, from `message_start` to `message_stop`."""
    events = clients.events(
        lambda client: client.messages.create(model="tiny", messages=MESSAGES, max_tokens=50, stream=True)
    )
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    assert len("".join(event.delta.text for event in events if event.type == "content_block_delta").split()) == 6
    (delta,) = [event for event in events if event.type == "message_delta"]
    assert (delta.delta.stop_reason, delta.usage.output_tokens) == ("end_turn", 6)


def test_the_helper_for_streamed_messages(clients: Compared) -> None:
    """`client.messages.stream` gives the events with what they add up to, and the whole in the end."""

    def ask(client: Any) -> Any:
        return client.messages.stream(model="tiny", messages=MESSAGES, max_tokens=50)

    assert clients.events(ask)[-1].type == "message_stop"
    assert len(clients.final(ask, "get_final_text").split()) == 6


def test_a_message_ends_at_its_length(clients: Compared) -> None:
    """`max_tokens` ends it, and the end says so."""
    answer = clients.answer(lambda client: client.messages.create(model="tiny", messages=MESSAGES, max_tokens=3))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_what_else_a_message_may_be_asked_for(clients: Compared) -> None:
    """A system prompt in both its forms, blocks of text, sampling options and stop sequences are carried."""

    def asked(system: Any) -> Ask:
        return lambda client: client.messages.create(
            model="tiny",
            system=system,
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                {"role": "assistant", "content": "yes?"},
                *MESSAGES,
            ],
            max_tokens=50,
            stop_sequences=["never"],
            metadata={"user_id": "somebody"},
            extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 9},
        )

    for system in ("Be brief.", [{"type": "text", "text": "Be brief."}]):
        assert clients.answer(asked(system)).content[0].text


def test_a_message_that_thinks(clients: Compared) -> None:
    """What the model thinks is a block before the text, whole and streamed."""
    answer = clients.answer(lambda client: client.messages.create(**THINKING))
    assert [block.type for block in answer.content] == ["thinking", "text"]
    final = clients.final(lambda client: client.messages.stream(**THINKING), "get_final_message")
    assert final.content[0].thinking == answer.content[0].thinking
    assert final.content[1].text == answer.content[1].text


def test_a_message_that_calls_a_tool(clients: Compared) -> None:
    """A call is a block with its input, whole and streamed; what it gave is taken back."""
    answer = clients.answer(lambda client: client.messages.create(**CALLING))
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert (answer.stop_reason, call.name, set(call.input)) == ("tool_use", "get_weather", {"city"})
    final = clients.final(lambda client: client.messages.stream(**CALLING), "get_final_message")
    (streamed,) = [block for block in final.content if block.type == "tool_use"]
    assert streamed.input == call.input
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    answer = clients.answer(lambda client: client.messages.create(**{**CALLING, "messages": messages}))
    assert answer.content


def test_a_message_about_a_picture(clients: Compared) -> None:
    """A picture among the blocks of a message is carried."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hello LIMIT 6"}, picture]}]
    answer = clients.answer(lambda client: client.messages.create(model="tiny", messages=messages, max_tokens=50))
    assert len(answer.content[0].text.split()) == 6
