"""Responses, against recordings byte by byte and, beyond them, as a real 0.33 answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fidelity import events_of
from simulator.replayed import chunks, comparable, recorded, spoken_again, told_tokens, usage

from ollamamax.simulator.failures import engine_lost
from ollamamax.simulator.responses_events import Echo, ResponsesWords, usage_details, whole_number
from ollamamax.simulator.tokens import Token

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
THOUGHT = [Token("silent", "<think>"), Token("thinking", "h"), Token("thinking", "m"), Token("silent", "</think>")]


def events(words: ResponsesWords, *tokens: Token, reason: str = "stop") -> list[tuple[str, Any]]:
    """The events of a stream, each in a chunk of its own."""
    parts = [part for token in tokens for part in words.token(token, 5.5)]
    parts += words.final(7.5, usage(reason, 3, len(tokens)))
    told = [events_of(part) for part in parts]
    assert all(len(each) == 1 for each in told)
    documents = [(each[0].name, each[0].document) for each in told]
    assert [document["sequence_number"] for _, document in documents] == list(range(len(documents)))  # type: ignore[index]
    assert all(name == document["type"] for name, document in documents)  # type: ignore[index]
    return documents


@pytest.mark.parametrize(("version", "reason", "prompt"), [("0.33", "stop", 4), ("0.24", "length", 18)])
def test_recorded_streams(version: str, reason: str, prompt: int) -> None:
    """The same chunks, but for identities and times; completed also where the bound was the end."""
    exchange = recorded(version, "v1-responses-stream")
    words = ResponsesWords("1", Echo("tiny", max_output_tokens=6))
    assert spoken_again(words, told_tokens(exchange), usage(reason, prompt, 6)) == chunks(exchange)
    assert words.stream_type.decode() == exchange.header("content-type")


def test_a_recorded_whole_answer() -> None:
    """Likewise."""
    exchange = recorded("0.33", "v1-responses-whole")
    words = ResponsesWords("1", Echo("tiny", max_output_tokens=6))
    texts = ["the", " river", " carries", " small", " stones", " over"]
    said = words.whole(1.0, [Token("content", text) for text in texts], usage("stop", 4, 6))
    assert comparable(said) == comparable(exchange.body)
    assert words.whole_type.decode() == exchange.header("content-type")


def test_a_recorded_stream_that_is_cut() -> None:
    """Nothing more."""
    exchange = recorded("0.33", "v1-responses-cut-mid-stream")
    words = ResponsesWords("1", Echo("tiny"))
    parts = [part for token in told_tokens(exchange) for part in words.token(token, 1.0)]
    assert tuple(comparable(part) for part in (*parts, *words.lost(engine_lost(), 1.0))) == chunks(exchange)


def test_thinking_is_an_item_of_its_own() -> None:
    """Opened with its first token, closed before the text, and in the output at the end."""
    told = events(ResponsesWords("1", Echo("m")), *THOUGHT, Token("content", "so"))
    assert [name.removeprefix("response.") for name, _ in told] == [
        "created",
        "in_progress",
        "output_item.added",
        *["reasoning_summary_text.delta"] * 2,
        "reasoning_summary_text.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    added, delta, done, item = told[2][1], told[3][1], told[5][1], told[6][1]
    name = added["item"]["id"]
    assert name.startswith("rs_")
    assert (added["output_index"], added["item"]) == (0, {"id": name, "summary": [], "type": "reasoning"})
    where = {"item_id": name, "output_index": 0, "summary_index": 0}
    assert delta == {**where, "delta": "h", "sequence_number": 3, "type": "response.reasoning_summary_text.delta"}
    assert done == {**where, "text": "hm", "sequence_number": 5, "type": "response.reasoning_summary_text.done"}
    summary = [{"text": "hm", "type": "summary_text"}]
    whole = {"encrypted_content": "hm", "id": name, "summary": summary, "type": "reasoning"}
    assert (item["output_index"], item["item"]) == (0, whole)
    assert [each["output_index"] for _, each in told[7:13]] == [1] * 6
    output = told[-1][1]["response"]["output"]
    assert (output[0], [each["type"] for each in output]) == (whole, ["reasoning", "message"])


def test_a_call_is_an_item_of_its_own() -> None:
    """After what was thought; there is no message."""
    told = events(ResponsesWords("1", Echo("m"), TOOLS), *THOUGHT, Token("tool", ""))
    assert [name.removeprefix("response.") for name, _ in told[5:]] == [
        "reasoning_summary_text.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    added, delta, done, item = (document for _, document in told[7:11])
    name, call = item["item"]["id"], item["item"]["call_id"]
    assert (name[:3], name[-2:], call[:5]) == ("fc_", "_0", "call_")
    arguments = '{"city":"Paris"}'
    whole = {
        "arguments": arguments,
        "call_id": call,
        "id": name,
        "name": "get_weather",
        "status": "completed",
        "type": "function_call",
    }
    assert (item["output_index"], item["item"]) == (1, whole)
    assert added["item"] == {**whole, "arguments": "", "status": "in_progress"}
    assert (delta["delta"], delta["item_id"], delta["output_index"]) == (arguments, name, 1)
    assert (done["arguments"], done["item_id"], done["output_index"]) == (arguments, name, 1)
    assert told[-1][1]["response"]["output"][1] == whole


def test_a_stream_of_nothing() -> None:
    """No output is null, and times are those of the beginning and the end."""
    words = ResponsesWords("1", Echo("m"))
    told = events(words, Token("content", ""))
    assert [name for name, _ in told] == ["response.created", "response.in_progress", "response.completed"]
    first, last = told[0][1]["response"], told[-1][1]["response"]
    assert (first["output"], first["usage"], first["status"], first["completed_at"]) == ([], None, "in_progress", None)
    assert (first["created_at"], last["created_at"], last["completed_at"]) == (5, 7, 7)
    assert (last["output"], last["status"]) == (None, "completed")


def test_whole_answers_with_thinking_and_calls() -> None:
    """Items in the order in which they came; a call stands instead of a message."""
    words = ResponsesWords("1", Echo("m"), TOOLS)
    output = json.loads(words.whole(1.0, [*THOUGHT, Token("tool", "")], usage("stop", 1, 5)))["output"]
    assert list(output[0]) == ["id", "type", "summary", "encrypted_content"]
    assert output[0]["id"].startswith("rs_resp_")
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert list(output[1]) == ["id", "type", "status", "call_id", "name", "arguments"]
    assert (output[1]["status"], output[1]["arguments"], len(output)) == ("completed", '{"city":"Paris"}', 2)
    said = json.loads(words.whole(1.0, [*THOUGHT, Token("content", "so")], usage("stop", 1, 5)))["output"]
    assert [item["type"] for item in said] == ["reasoning", "message"]


def test_what_the_request_said_is_repeated() -> None:
    """In streams a null stands for what was not said of reasoning; whole numbers have no decimals."""
    tools = [{"type": "function", "name": "f"}]
    form = {"type": "json_schema", "name": "n"}
    echo = Echo("m", "i", tools, "auto", form, 0.5, 2.0, "low", None, 9, background=True)
    words = ResponsesWords("1", echo)
    whole = json.loads(words.whole(1.0, [], usage("stop", 1, 1)))
    streamed = events(words)[0][1]["response"]
    for told in (whole, streamed):
        assert (told["model"], told["instructions"], told["truncation"]) == ("m", "i", "auto")
        assert (told["tools"], told["text"]) == (tools, {"format": form})
        assert (told["temperature"], told["top_p"], told["max_output_tokens"]) == (0.5, 2, 9)
        assert told["background"] is True
    assert (whole["reasoning"], streamed["reasoning"]) == ({"effort": "low"}, {"effort": "low", "summary": None})
    assert Echo("m", summary="auto").reasoning(streamed=True) == {"effort": None, "summary": "auto"}
    assert Echo("m").reasoning(streamed=True) is None


def test_an_error_within_a_stream() -> None:
    """The event with which a response fails, numbered like the others."""
    words = ResponsesWords("1", Echo("m"))
    words.token(Token("content", "a"), 1.0)
    (event,) = events_of(words.in_band(engine_lost()))
    document: Any = event.document
    assert (event.name, document["type"], document["sequence_number"]) == ("response.failed", "response.failed", 5)
    response = document["response"]
    assert response["id"].startswith("resp_")
    assert (response["object"], response["status"], response["model"]) == ("response", "failed", "m")
    assert (response["output"], response["usage"], response["error"]["code"]) == ([], None, "api_error")
    assert response["error"]["message"] == engine_lost().message


def test_counts_and_numbers() -> None:
    """Usage with the details that Ollama leaves at nothing; numbers as Go writes them."""
    assert usage_details(usage("stop", 3, 4)) == {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    assert [str(whole_number(each)) for each in (1.0, 0.5, 2, None)] == ["1", "0.5", "2", "None"]
