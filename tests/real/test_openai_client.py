"""The official `openai` client, unmodified, before the gateway: every route gives what it gives before the node itself.

The node is a simulator; with `OLLAMAMAX_TEST_NODES=URL,…` the same calls go to real nodes, which need the models `tiny`
and `thinker`. How it fails is in `test_failing_clients.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from real.official import FLAVOURS, IMAGE, SOUND, Compared, openai_client
from real.processes import Process

MESSAGES: list[Any] = [{"role": "user", "content": "hello LIMIT 6"}]
THINKING: list[Any] = [{"role": "user", "content": "THINK LIMIT 9"}]
CALLING: list[Any] = [{"role": "user", "content": "TOOL LIMIT 2"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": CITY}}]
RESPONSE_TOOLS: list[Any] = [{"type": "function", "name": "get_weather", "description": "weather", "parameters": CITY}]
USAGE: Any = {"include_usage": True}


@pytest.fixture(scope="module", params=FLAVOURS)
def clients(request: pytest.FixtureRequest, gateway: Process, nodes: list[str]) -> Iterator[Compared]:
    """A client before the gateway and one before the first node itself, in both flavours."""
    with openai_client(request.param, gateway.url) as through, openai_client(request.param, nodes[0]) as direct:
        yield Compared(through, direct)


def text_of(chunks: list[Any]) -> str:
    """The text that the chunks of a chat add up to."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# Models.


def test_models_are_listed(clients: Compared) -> None:
    """Each model that the node lists is listed, in the form of the API."""
    listed, direct = (each.answer(lambda client: client.models.list()) for each in (clients.gateway, clients.node))
    assert {model.id for model in listed.data} == {model.id for model in direct.data} >= {"tiny:latest"}
    assert {(model.object, model.owned_by) for model in listed.data} == {("model", "library")}
    assert all(model.created > 0 for model in listed.data)


def test_a_model_is_retrieved(clients: Compared) -> None:
    """One model by its name, which the answer repeats as it was sent."""
    assert clients.gateway.answer(lambda client: client.models.retrieve("tiny")).id == "tiny"


# Chat completions.


def test_a_chat(clients: Compared) -> None:
    """A whole answer with its text, its end and its usage."""
    answer = clients.answer(lambda client: client.chat.completions.create(model="tiny", messages=MESSAGES))
    assert len(answer.choices[0].message.content.split()) == 6
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


@pytest.mark.parametrize("asked_for_usage", [False, True])
def test_a_streamed_chat(clients: Compared, asked_for_usage: bool) -> None:
    """The same in pieces; the chunk of the usage comes for those who asked for it and for nobody else."""
    options = {"stream_options": USAGE} if asked_for_usage else {}
    chunks = clients.events(
        lambda client: client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True, **options)
    )
    assert len(text_of(chunks).split()) == 6
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    if asked_for_usage:
        assert chunks[-1].choices == []
        assert [usage.completion_tokens for usage in told] == [6]
    else:
        assert told == []
    (end,) = {choice.finish_reason for chunk in chunks for choice in chunk.choices} - {None}
    assert end == "stop"


def test_the_helper_for_streamed_chats(clients: Compared) -> None:
    """`client.chat.completions.stream` makes the whole answer of the pieces."""
    answer = clients.final(
        lambda client: client.chat.completions.stream(model="tiny", messages=MESSAGES), "get_final_completion"
    )
    assert len(answer.choices[0].message.content.split()) == 6


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_ends_at_its_length(clients: Compared, stream: bool) -> None:
    """`max_tokens` ends it, and the end says so."""

    def ask(client: Any) -> Any:
        return client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=3, stream=stream)

    if stream:
        assert clients.events(ask)[-1].choices[0].finish_reason == "length"
    else:
        answer = clients.answer(ask)
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 3)


def test_what_else_a_chat_may_be_asked_for(clients: Compared) -> None:
    """Sampling options, `n` and `stop` are carried, and have the node's effect."""
    answer = clients.answer(
        lambda client: client.chat.completions.create(
            model="tiny",
            messages=[{"role": "system", "content": "Be brief."}, *MESSAGES],
            n=1,
            stop=["never"],
            temperature=0.5,
            top_p=0.9,
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.1,
            user="somebody",
        )
    )
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object", "properties": {}}}},
    ],
    ids=lambda form: form["type"],
)
def test_json_mode(clients: Compared, form: dict[str, Any]) -> None:
    """A form for the answer is carried, in both its kinds."""
    answer = clients.answer(
        lambda client: client.chat.completions.create(model="tiny", messages=MESSAGES, response_format=form)
    )
    assert answer.choices[0].message.content


def test_a_chat_that_thinks(clients: Compared) -> None:
    """What the model thinks stands apart from what it says, whole and streamed."""

    def ask(client: Any, **options: Any) -> Any:
        return client.chat.completions.create(model="thinker", messages=THINKING, reasoning_effort="high", **options)

    message = clients.answer(ask).choices[0].message
    assert message.reasoning
    assert message.content
    chunks = clients.events(lambda client: ask(client, stream=True))
    thought = "".join(getattr(chunk.choices[0].delta, "reasoning", None) or "" for chunk in chunks)
    assert thought == message.reasoning
    assert text_of(chunks) == message.content


def test_a_chat_that_calls_a_tool(clients: Compared) -> None:
    """A call has its name and its arguments, whole and streamed; what it gave is taken back."""

    def ask(client: Any, **options: Any) -> Any:
        return client.chat.completions.create(model="thinker", messages=CALLING, tools=TOOLS, **options)

    whole = clients.answer(ask).choices[0]
    (call,) = whole.message.tool_calls
    assert whole.finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    chunks = clients.events(lambda client: ask(client, stream=True))
    (streamed,) = [each for chunk in chunks for each in chunk.choices[0].delta.tool_calls or ()]
    assert (streamed.function.name, streamed.function.arguments) == ("get_weather", call.function.arguments)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    given = [
        {"role": "user", "content": "hello LIMIT 6"},
        {"role": "assistant", "content": "", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    answer = clients.answer(lambda client: client.chat.completions.create(model="thinker", messages=given, tools=TOOLS))
    assert answer.choices[0].message.content


def test_the_helper_for_tools(clients: Compared) -> None:
    """`client.chat.completions.stream` puts a call together from its pieces."""
    answer = clients.final(
        lambda client: client.chat.completions.stream(model="thinker", messages=CALLING, tools=TOOLS),
        "get_final_completion",
    )
    (call,) = answer.choices[0].message.tool_calls
    assert set(json.loads(call.function.arguments)) == {"city"}


def test_a_chat_about_a_picture(clients: Compared) -> None:
    """A picture among the parts of a message is carried."""
    parts = [
        {"type": "text", "text": "hello LIMIT 6"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
    ]
    answer = clients.answer(
        lambda client: client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
    )
    assert len(answer.choices[0].message.content.split()) == 6


# Completions.


def test_a_completion(clients: Compared) -> None:
    """A whole text with its usage; `max_tokens` ends it."""
    answer = clients.answer(lambda client: client.completions.create(model="tiny", prompt="hello LIMIT 6"))
    assert len(answer.choices[0].text.split()) == 6
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 6)
    answer = clients.answer(lambda client: client.completions.create(model="tiny", prompt="LIMIT 6", max_tokens=2))
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)


@pytest.mark.parametrize("asked_for_usage", [False, True])
def test_a_streamed_completion(clients: Compared, asked_for_usage: bool) -> None:
    """The same in pieces; no chunk has a usage unless it was asked for."""
    options = {"stream_options": USAGE} if asked_for_usage else {}
    chunks = clients.events(
        lambda client: client.completions.create(model="tiny", prompt="hello LIMIT 6", stream=True, **options)
    )
    assert len("".join(chunk.choices[0].text for chunk in chunks if chunk.choices).split()) == 6
    if asked_for_usage:
        assert chunks[-1].usage.completion_tokens == 6
    else:
        assert {chunk.usage for chunk in chunks} == {None}


# Embeddings.


def test_embeddings(clients: Compared) -> None:
    """As numbers and as base64, which is what the client asks for by itself, they are the same vectors."""
    texts = ["one text", "another"]
    answer = clients.answer(lambda client: client.embeddings.create(model="tiny", input=texts))
    numbers = clients.answer(
        lambda client: client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    )
    assert [each.index for each in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == numbers.usage.prompt_tokens > 0
    for one, other in zip(answer.data, numbers.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
    raw = clients.answer(
        lambda client: client.embeddings.create(model="tiny", input="one text", encoding_format="base64")
    )
    assert isinstance(raw.data[0].embedding, str)


# Responses.


def test_a_response(clients: Compared) -> None:
    """A whole answer with its text, its status and its usage."""
    answer = clients.answer(
        lambda client: client.responses.create(model="tiny", input="hello LIMIT 6", instructions="Be brief.")
    )
    assert len(answer.output_text.split()) == 6
    assert answer.status == "completed"
    assert answer.usage.output_tokens == 6


def test_a_streamed_response(clients: Compared) -> None:
    """The same as events, numbered from 0, from `created` to `completed`."""
    events = clients.events(lambda client: client.responses.create(model="tiny", input="hello LIMIT 6", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert len(text.split()) == 6
    assert events[-1].response.output_text == text
    assert events[-1].response.usage.output_tokens == 6


def test_the_helper_for_streamed_responses(clients: Compared) -> None:
    """`client.responses.stream` gives the events with what they add up to, and the whole in the end."""

    def ask(client: Any) -> Any:
        return client.responses.stream(model="tiny", input=[{"role": "user", "content": "hello LIMIT 6"}])

    assert clients.events(ask)[-1].type == "response.completed"
    assert len(clients.final(ask, "get_final_response").output_text.split()) == 6


def test_a_response_that_calls_a_tool(clients: Compared) -> None:
    """A call is an item of the output, whole and streamed."""

    def ask(client: Any, **options: Any) -> Any:
        return client.responses.create(model="thinker", input="TOOL LIMIT 2", tools=RESPONSE_TOOLS, **options)

    (call,) = [item for item in clients.answer(ask).output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert set(json.loads(call.arguments)) == {"city"}
    events = clients.events(lambda client: ask(client, stream=True))
    (done,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done.arguments == call.arguments


def test_a_response_that_thinks(clients: Compared) -> None:
    """What the model thinks is an item of its own, whole and streamed."""

    def ask(client: Any, **options: Any) -> Any:
        return client.responses.create(model="thinker", input="THINK LIMIT 9", reasoning={"effort": "high"}, **options)

    answer = clients.answer(ask)
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    events = clients.events(lambda client: ask(client, stream=True))
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert thought == answer.output[0].summary[0].text
    assert events[-1].response.output_text == answer.output_text


def test_a_response_about_a_picture(clients: Compared) -> None:
    """A picture among the parts of the input is carried."""
    parts = [
        {"type": "input_text", "text": "hello LIMIT 6"},
        {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{IMAGE}"},
    ]
    answer = clients.answer(
        lambda client: client.responses.create(model="tiny", input=[{"role": "user", "content": parts}])
    )
    assert len(answer.output_text.split()) == 6


# Transcriptions.


def test_a_transcription(clients: Compared) -> None:
    """A recording in a form comes back as text, in JSON and by itself."""

    def ask(client: Any, **options: Any) -> Any:
        return client.audio.transcriptions.create(
            model="tiny", file=SOUND, prompt="LIMIT 6", language="en", temperature=0, **options
        )

    text = clients.answer(ask).text
    assert len(text.split()) == 6
    assert clients.answer(lambda client: ask(client, response_format="text")) == text
