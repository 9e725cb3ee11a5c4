"""What a simulated Ollama is made of: speeds, limits, models, and the version whose behaviour it shows. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from .faults import Share, checked_shares
from .weights import TINY_WEIGHTS, Weights, weights_named

BLOCK_BYTES = 65536
"""Bytes that a pull reports at a time."""

COMPLETION_TEMPLATE = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}\n{{ end }}<|assistant|>"
THINKING_TEMPLATE = (
    "{{ if .Tools }}{{ range .Tools }}{{ .Function }}\n{{ end }}{{ end }}{{ range .Messages }}<|{{ .Role }}|>"
    "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ range .ToolCalls }}<tool_call>"
    "{{ .Function }}</tool_call>{{ end }}\n{{ end }}<|assistant|>"
)
CAPABILITIES = ("completion", "embedding", "vision", "audio", "insert", "tools", "thinking")


@attrs.frozen
class Profile:
    """Where two versions of Ollama differ.

    Attributes:
        version: what `/api/version` says.
        rich_tags: whether `/api/tags` tells capabilities, context length and the quantisation.
        absent_with_tag: whether `/api/show` names an absent model with its tag.
        cloud_disabled: whether cloud models answer 403 (else 401) and `/api/status` says so.
        natural_end: whether texts end by themselves; the other engine runs to `num_predict` each time.
        logprobs: whether log probabilities are told when asked for.
        on_gpu: whether `/api/ps` shows the model in video memory.
        overhead_bytes: what a resident model takes beyond its weights.
        chunk_roles: whether each chunk of a chat names its role, and the finish comes in one like the others; else the
            first one alone does, and the finish has an empty delta.
    """

    version: str
    rich_tags: bool
    absent_with_tag: bool
    cloud_disabled: bool
    natural_end: bool
    logprobs: bool
    on_gpu: bool
    overhead_bytes: int
    chunk_roles: bool


PROFILES: Mapping[str, Profile] = {
    "0.33.0": Profile("0.33.0", True, True, True, True, False, True, 0, chunk_roles=False),
    "0.24.0": Profile("0.24.0", False, False, False, False, True, False, 4028384, chunk_roles=True),
}


@attrs.frozen
class ModelSpec:
    """A model that the simulator has, or that its registry offers.

    Attributes:
        name: as Ollama spells names: `[host/][namespace/]model[:tag]`.
        weights: what it computes with; two models of the same weights share one runner.
        capabilities: out of `CAPABILITIES`.
        template: the prompt template that `show` tells.
        parameters: the model's own options, `num_predict` say.
        system: its system prompt.
        load_seconds: how long it takes to load; None: as the settings say.
    """

    name: str
    weights: Weights = TINY_WEIGHTS
    capabilities: tuple[str, ...] = ("completion",)
    template: str = COMPLETION_TEMPLATE
    parameters: tuple[tuple[str, object], ...] = (("num_predict", 48),)
    system: str = ""
    load_seconds: float | None = None


TINY = ModelSpec("tiny")
THINKER = ModelSpec("thinker", capabilities=("completion", "tools", "thinking"), template=THINKING_TEMPLATE)
EMBEDDER = ModelSpec(
    "minilm", weights=weights_named("minilm", size=45_949_216), capabilities=("embedding",), parameters=()
)


@attrs.frozen
class SimulatorSettings:
    """All that can be set; durations in seconds, sizes in bytes.

    Attributes:
        version: `0.33.0` or `0.24.0`.
        models: what is there at start; later ones are listed first, as newer.
        registry: what can be pulled.
        load_seconds: how long a model takes to load.
        prompt_seconds: how long any prompt takes to evaluate.
        prompt_tokens_per_second: besides, per token of the prompt; 0: no time.
        tokens_per_second: per slot; 0: as fast as the client reads.
        token_bytes: least size of a token's text; 0: a word.
        overhead_seconds: from a request's arrival to a runner when the model is loaded (Ollama: 1 to 4 ms).
        parallel: slots per model (`OLLAMA_NUM_PARALLEL`).
        max_queue: requests that may wait for a load (`OLLAMA_MAX_QUEUE`).
        max_loaded_models: (`OLLAMA_MAX_LOADED_MODELS`).
        keep_alive_seconds: (`OLLAMA_KEEP_ALIVE`).
        pull_bytes_per_second: how fast a pull is.
        seed: the same seed gives the same texts and embeddings.
        marked: whether each text begins with `[simulated] ` and each answer carries `X-OllamaMax-Simulated: 1`.
        faults: what goes wrong with how many requests for inference, besides what prompts ask for; drawn by the seed.
    """

    version: str = attrs.field(default="0.33.0", validator=attrs.validators.in_(PROFILES))
    models: tuple[ModelSpec, ...] = (TINY, THINKER)
    registry: tuple[ModelSpec, ...] = (TINY, THINKER, EMBEDDER)
    load_seconds: float = 2.0
    prompt_seconds: float = 0.005
    prompt_tokens_per_second: float = 0.0
    tokens_per_second: float = 40.0
    token_bytes: int = 0
    overhead_seconds: float = 0.002
    parallel: int = 1
    max_queue: int = 512
    max_loaded_models: int = 3
    keep_alive_seconds: float = 300.0
    pull_bytes_per_second: float = 50e6
    seed: int = 0
    marked: bool = False
    faults: tuple[Share, ...] = attrs.field(default=(), validator=lambda _, __, shares: checked_shares(shares))

    @property
    def profile(self) -> Profile:
        """What this version does."""
        return PROFILES[self.version]

    def prompt_time(self, tokens: int) -> float:
        """Seconds to evaluate a prompt of so many tokens."""
        extra = tokens / self.prompt_tokens_per_second if self.prompt_tokens_per_second else 0.0
        return self.prompt_seconds + extra


FOREVER = math.inf
"""A keep_alive without end."""


def parsed_model(text: str) -> ModelSpec:
    """A model from an option's text: `NAME[:TAG][,capabilities=A+B][,size=BYTES][,context=TOKENS][,load=SECONDS]`.

    Raises:
        ValueError: one line that says what is wrong with it.
    """
    name, *fields = text.split(",")
    if not name:
        raise ValueError("a model needs a name")
    size, context = 650_000, 4096
    load: float | None = None
    capabilities: tuple[str, ...] = ("completion",)
    for field in fields:
        key, _, value = field.partition("=")
        try:
            if key == "size":
                size = int(_amount(value))
            elif key == "context":
                context = int(value)
            elif key == "load":
                load = _amount(value)
            elif key == "capabilities":
                capabilities = tuple(value.split("+"))
            else:
                raise ValueError
        except ValueError:
            raise ValueError(f"{field!r} is none of capabilities=, size=, context=, load= with a number") from None
    unknown = [capability for capability in capabilities if capability not in CAPABILITIES]
    if unknown:
        raise ValueError(f"capability {unknown[0]!r} is none of {', '.join(CAPABILITIES)}")
    return ModelSpec(
        name,
        weights=weights_named(name, size=size, context_length=context),
        capabilities=capabilities,
        template=THINKING_TEMPLATE if {"tools", "thinking"} & set(capabilities) else COMPLETION_TEMPLATE,
        load_seconds=load,
    )


def _amount(text: str) -> float:
    """A number of bytes or seconds that there can be.

    Raises:
        ValueError: it is no number, negative or infinite.
    """
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value
