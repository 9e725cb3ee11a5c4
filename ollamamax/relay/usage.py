"""What a node reports of its work, read so that nothing in it can do harm.

Facts of the wire: integers in the last line are counts and nanoseconds, and Go leaves out those that are 0 (`omitempty`
in `types.go`, `Metrics`). A number that cannot be true is taken for none.
"""

from __future__ import annotations

import attrs
import msgspec

from ollamamax.relay.raw_json import ABSENT, read

_NANOSECONDS = 1_000_000_000
# Beyond these a number is a defect of whoever sent it and would spoil sums for ever.
_MAX_TOKENS = 1_000_000_000
_MAX_NANOSECONDS = 30 * 86400 * _NANOSECONDS
_MAX_DIGITS = 18


class NativeAnswer(msgspec.Struct):
    """The fields that matter, unread: a number of 5,000 digits or a wrong type must not hide the others."""

    done: msgspec.Raw = ABSENT
    done_reason: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    total_duration: msgspec.Raw = ABSENT
    load_duration: msgspec.Raw = ABSENT
    prompt_eval_count: msgspec.Raw = ABSENT
    prompt_eval_cached_count: msgspec.Raw = ABSENT
    prompt_eval_duration: msgspec.Raw = ABSENT
    eval_count: msgspec.Raw = ABSENT
    eval_duration: msgspec.Raw = ABSENT


@attrs.frozen
class Usage:
    """What a node reported of its work; None is "not reported".

    Attributes:
        input_tokens: of the prompt, cached ones included.
        output_tokens: generated.
        cached_tokens: the part of the input that needed no work.
        total_seconds: from the node's receipt of the request to its end.
        load_seconds: until the model was there, the node's own queue included.
        prompt_seconds: reading the prompt.
        output_seconds: generating.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    total_seconds: float | None = None
    load_seconds: float | None = None
    prompt_seconds: float | None = None
    output_seconds: float | None = None


NO_USAGE = Usage()


def reported_usage(answer: NativeAnswer, generates: bool) -> Usage:
    """The usage in a last line or a whole answer.

    Args:
        answer: the object read.
        generates: whether its operation generates text; an embedding has neither output nor left-out zeros.
    """
    total = _number(answer.total_duration, _MAX_NANOSECONDS)
    # Where Ollama measured at all, a number left out is a 0; `load` and `unload` answers carry none.
    absent = 0 if generates and total is not None else None
    return Usage(
        input_tokens=_number(answer.prompt_eval_count, _MAX_TOKENS, absent),
        output_tokens=_number(answer.eval_count, _MAX_TOKENS, absent) if generates else None,
        cached_tokens=_number(answer.prompt_eval_cached_count, _MAX_TOKENS),
        total_seconds=_seconds(total),
        load_seconds=_seconds(_number(answer.load_duration, _MAX_NANOSECONDS, absent)),
        prompt_seconds=_seconds(_number(answer.prompt_eval_duration, _MAX_NANOSECONDS, absent)),
        output_seconds=_seconds(_number(answer.eval_duration, _MAX_NANOSECONDS, absent)) if generates else None,
    )


class _Tokens(msgspec.Struct):
    """The usage of the routes that are compatible with OpenAI's and Anthropic's, in either's words."""

    prompt_tokens: msgspec.Raw = ABSENT
    completion_tokens: msgspec.Raw = ABSENT
    prompt_tokens_details: msgspec.Raw = ABSENT
    input_tokens: msgspec.Raw = ABSENT
    output_tokens: msgspec.Raw = ABSENT
    input_tokens_details: msgspec.Raw = ABSENT


class _Details(msgspec.Struct):
    cached_tokens: msgspec.Raw = ABSENT


_read_tokens = msgspec.json.Decoder(_Tokens).decode
_read_details = msgspec.json.Decoder(_Details).decode


def token_usage(member: msgspec.Raw) -> Usage:
    """The usage in a `usage` member of a `/v1` answer; there are tokens in it and no times."""
    tokens = read(_read_tokens, member)
    if tokens is None:
        return NO_USAGE
    details = read(_read_details, bytes(tokens.prompt_tokens_details) or tokens.input_tokens_details)
    return Usage(
        input_tokens=_number(bytes(tokens.prompt_tokens) or tokens.input_tokens, _MAX_TOKENS),
        output_tokens=_number(bytes(tokens.completion_tokens) or tokens.output_tokens, _MAX_TOKENS),
        cached_tokens=None if details is None else _number(details.cached_tokens, _MAX_TOKENS),
    )


def _number(field: bytes | msgspec.Raw, most: int, absent: int | None = None) -> int | None:
    text = bytes(field)
    if not text:
        return absent
    if len(text) > _MAX_DIGITS or not text.isdigit():
        return None
    number = int(text)
    return number if number <= most else None


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NANOSECONDS
