"""What a whole answer of a `/v1` route meant: one JSON object, of which the end may be all that is kept.

Facts of the wire: a completion's choices stand before its usage, a message's content before its reason and usage, a
response's output before its usage. Of an answer so large that its beginning is not kept, what stands there is unknown:
it is taken for the ordinary. Ollama's transcriptions are `{"text": …}` without usage, or bare text
(`middleware/openai.go`, `TranscriptionWriter`); one that fails on its way is an empty body with status 200.
"""

from __future__ import annotations

import msgspec

from ollamamax.relay.answers import Answer
from ollamamax.relay.completions_verdict import choices_of, is_load, outcome_of_reason
from ollamamax.relay.messages_verdict import outcome_of_stop
from ollamamax.relay.raw_json import ABSENT, is_empty, read
from ollamamax.relay.responses_verdict import ResponseObject, is_cut_by_length
from ollamamax.relay.tail import BodyTail
from ollamamax.relay.usage import NO_USAGE, token_usage
from ollamamax.relay.verdict import Verdict

_GENERATIONS = frozenset({Answer.CHAT_COMPLETIONS, Answer.COMPLETIONS, Answer.RESPONSES, Answer.MESSAGES})


class _Whole(ResponseObject):
    choices: msgspec.Raw = ABSENT
    stop_reason: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_whole = msgspec.json.Decoder(_Whole).decode


class WholeVerdict:
    """Judges a whole answer."""

    def __init__(self, answer: Answer) -> None:
        """Begins.

        Args:
            answer: one of the `/v1` routes'.
        """
        self._answer = answer
        self._tail = BodyTail()
        self._empty = True

    def feed(self, data: bytes, now: float) -> None:
        """Takes bytes that went to the client at `now`, in seconds of the clock."""
        self._tail.feed(data)
        self._empty = self._empty and not data

    def finish(self, now: float = 0.0) -> Verdict:
        """Judges what was fed."""
        whole = read(_read_whole, self._tail.members())
        # Of a transcription it is not known whether it is an object; Ollama ends it empty where its engine has failed.
        cut = self._empty if self._answer is Answer.TRANSCRIPTIONS else self._tail.is_cut()
        if whole is None:
            missing = cut or self._answer in _GENERATIONS
            return Verdict("incomplete" if missing else "success", done=not missing, cut=cut)
        if not is_empty(whole.error) or bytes(whole.status) == b'"failed"':
            return Verdict("stream_error", token_usage(whole.usage), error=True)
        reason = b""
        for choice in choices_of(whole.choices):
            if not is_empty(choice.finish_reason):
                reason = bytes(choice.finish_reason)
        if self._answer is Answer.RESPONSES:
            outcome = "length" if is_cut_by_length(whole) else "success"
        elif self._answer is Answer.MESSAGES:
            outcome = outcome_of_stop(bytes(whole.stop_reason))
        else:
            outcome = outcome_of_reason(reason, done=True, error=False)
        loaded = is_load(reason)
        return Verdict(outcome, NO_USAGE if loaded else token_usage(whole.usage), loaded, done=True)
