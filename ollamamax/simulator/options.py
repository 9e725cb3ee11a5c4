"""A model's options: their types, as Ollama checks them, and what changes a runner. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from .failures import ApiFailure

_INTEGER = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
    "draft_num_predict",
]
_FLOAT = ["top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"]
_BOOLEAN = ["use_mmap", "numa"]
_RELOADING = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread")
DEFAULT_CONTEXT = 4096


def merged(parameters: Mapping[str, object], asked: Mapping[str, object]) -> dict[str, object]:
    """The options in force: the model's own, then the request's.

    Raises:
        ApiFailure: 500, as Ollama answers an option of the wrong type; unknown ones are passed over.
    """
    options = {**parameters}
    for name, value in asked.items():
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in _INTEGER and not number:
            raise ApiFailure(500, f'option "{name}" must be of type integer')
        if name in _FLOAT and not number:
            raise ApiFailure(500, f'option "{name}" must be of type float32')
        if name in _BOOLEAN and not isinstance(value, bool):
            raise ApiFailure(500, f'option "{name}" must be of type boolean')
        if name == "stop" and not isinstance(value, list):
            raise ApiFailure(500, 'option "stop" must be of type array')
        options[name] = int(value) if name in _INTEGER and isinstance(value, float) else value
    return options


def integer(options: Mapping[str, object], name: str, default: int) -> int:
    """A whole number among the options."""
    value = options.get(name, default)
    return value if isinstance(value, int) else default


def context_length(options: Mapping[str, object], model_context: int) -> int:
    """Tokens that a runner is loaded for: as asked, at most what the model was made for."""
    asked = integer(options, "num_ctx", DEFAULT_CONTEXT)
    return max(4, min(asked, model_context))


def signature(options: Mapping[str, object], model_context: int) -> Hashable:
    """What makes two runners of a model different."""
    rest = tuple(options.get(name) for name in _RELOADING if name != "num_ctx")
    return (context_length(options, model_context), *rest)
