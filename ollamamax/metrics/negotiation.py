"""What a scraper may be sent: format, compression and families, from its headers and query.

prometheus-client's own reading of `Accept` fails with a 500 on `version=abc`, echoes versions that it does not speak
and takes no notice of `q`. So it is read here, by RFC 9110, section 12.5. Pure; nothing here raises, whatever the
bytes.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import attrs

OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_VERSION = "1.0.0"
TEXT = "text/plain"
TEXT_VERSION = "0.0.4"
_FAMILY_PARAMETER = "name[]"


@attrs.frozen
class Wanted:
    """What one scrape is answered with; equal for scrapes that can share one rendering.

    Attributes:
        openmetrics: OpenMetrics 1.0.0 instead of the text format 0.0.4.
        compressed: gzip.
        names: the samples asked for by name; None for all.
    """

    openmetrics: bool = False
    compressed: bool = False
    names: frozenset[str] | None = None

    @property
    def content_type(self) -> str:
        """How the answer is called."""
        kind, version = (OPENMETRICS, OPENMETRICS_VERSION) if self.openmetrics else (TEXT, TEXT_VERSION)
        return f"{kind}; version={version}; charset=utf-8"


def negotiate(accept: str, accept_encoding: str, query: str) -> Wanted:
    """Reads a scrape's wishes.

    The text format is the default, also where nothing that is asked for can be given. OpenMetrics is sent where its
    quality is higher, or as high and it is named (a `*/*` names nothing).

    Args:
        accept: the field's value, several lines joined by commas; empty if there was none.
        accept_encoding: likewise.
        query: the request's query string.
    """
    ranges = _elements(accept)
    openmetrics, named = _quality(ranges, OPENMETRICS, OPENMETRICS_VERSION)
    text, _ = _quality(ranges, TEXT, TEXT_VERSION)
    names = parse_qs(query).get(_FAMILY_PARAMETER)
    return Wanted(
        openmetrics=openmetrics > text or (named and openmetrics == text > 0),
        compressed=_gzip(_elements(accept_encoding)),
        names=None if names is None else frozenset(names),
    )


@attrs.frozen
class _Element:
    name: str
    quality: float
    parameters: dict[str, str]


def _elements(field: str) -> list[_Element]:
    """The elements of a list field; those with a `q` that is none are taken for not sent."""
    elements = []
    for part in field.split(","):
        name, *rest = (token.strip() for token in part.split(";"))
        if not name:
            continue
        parameters = {}
        for token in rest:
            key, _, text = token.partition("=")
            parameters[key.strip().lower()] = text.strip().strip('"')
        quality = _number(parameters.pop("q", "1"))
        if quality is not None:
            elements.append(_Element(name.lower(), quality, parameters))
    return elements


def _number(text: str) -> float | None:
    if not (text.isascii() and text.replace(".", "", 1).isdigit() and len(text) <= 8):
        return None
    quality = float(text)
    return quality if quality <= 1 else None


def _quality(ranges: list[_Element], media_type: str, version: str) -> tuple[float, bool]:
    """The quality of one format by its most specific range, and whether that range names it."""
    best = (-1, 0.0)
    for element in ranges:
        wanted = element.parameters.get("version")
        if element.name == media_type and wanted in (None, "", version):
            specific = 3 if wanted else 2
        elif element.name == f"{media_type.partition('/')[0]}/*":
            specific = 1
        elif element.name == "*/*":
            specific = 0
        else:
            continue
        best = max(best, (specific, element.quality))
    return best[1], best[0] >= 2


def _gzip(codings: list[_Element]) -> bool:
    qualities = {coding.name: coding.quality for coding in codings}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)
