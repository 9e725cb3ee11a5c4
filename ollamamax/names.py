"""Model names, normalised once at the door.

Ollama matches names without regard to case, takes a missing tag for `:latest`, and leaves out its default registry and
namespace when it shows a name (`types/model/name.go`). The normalised name authorises, routes and labels; what is sent
on and echoed stays as the client spelt it.
"""

from __future__ import annotations

DEFAULT_TAG = "latest"
_DEFAULT_REGISTRY = "registry.ollama.ai"
_DEFAULT_NAMESPACE = "library"


def normalized(name: str) -> str:
    """The one spelling of a model's name under which it is known here.

    Args:
        name: a name as a client or a node spells it, such as `TinyLlama` or `registry.ollama.ai/library/x:7b`.

    Returns:
        The name in lower case, with its tag, without the default registry and namespace; empty for an empty name.
    """
    return shortest(name.casefold())


def shortest(name: str) -> str:
    """A name as Ollama shows it: in the spelling that it was given in, otherwise as `normalized` has it."""
    short = name.strip()
    _, scheme, rest = short.partition("://")
    if scheme:
        short = rest
    parts = short.split("/")
    if len(parts) == 3 and parts[0] == _DEFAULT_REGISTRY:
        del parts[0]
    if len(parts) == 2 and parts[0] == _DEFAULT_NAMESPACE:
        del parts[0]
    short = "/".join(parts)
    if not short:
        return ""
    last = short.rpartition("/")[2]
    return short if ":" in last else f"{short}:{DEFAULT_TAG}"


def owner(name: str) -> str:
    """The namespace of a name, which `/v1/models` calls its owner."""
    parts = shortest(name).split("/")
    return parts[-2] if len(parts) > 1 else _DEFAULT_NAMESPACE


def is_cloud(name: str) -> bool:
    """Whether a normalised name stands for a model that Ollama's cloud runs (`gpt-oss:120b-cloud`, `x:cloud`).

    No node lists such a model before it was used; a node answers for it by itself (401 or 403 where it may not).
    """
    tag = name.rpartition(":")[2]
    return tag == "cloud" or tag.endswith("-cloud")
