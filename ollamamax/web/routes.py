"""The pattern of the route that a request belongs to: the label `endpoint`.

Never the path itself, so that ids make no series. A route without variables is found in a dict by the bytes of the
path; werkzeug's matcher (some 10 µs) is asked only for the rest, and for the same maps that Klein asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import attrs
from werkzeug.exceptions import HTTPException, MethodNotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Map, MapAdapter

UNMATCHED = "unmatched"
_VARIABLE = re.compile(r"<(?:[^<>]*:)?([^<>:]+)>")
_NO_METHOD = "--"


@attrs.frozen
class _Static:
    pattern: str
    methods: frozenset[bytes] | None


class RouteTable:
    """Routes of all Klein apps.

    Args:
        url_maps: the `url_map` of each Klein app, complete; the first that knows a path wins.
    """

    def __init__(self, url_maps: Iterable[Map]) -> None:
        self._adapters: list[MapAdapter] = []
        self._static: dict[bytes, _Static] = {}
        for url_map in url_maps:
            self._adapters.append(url_map.bind("localhost"))
            self._add_static(url_map)
        self._patterns: dict[str, str] = {}

    def endpoint(self, method: bytes, path: bytes) -> str:
        """The pattern of a request's route, as `/api/v1/models/:id`.

        Args:
            method: as the client sent it. With a method that the route does not have, it is that route all the same.
            path: the target without its query, still percent-encoded.

        Returns:
            The pattern, or `unmatched` for a path of no route (redirects among them) or one that is no UTF-8.
        """
        static = self._static.get(path)
        if static is not None and (static.methods is None or method in static.methods):
            return static.pattern
        text = _decoded(path)
        if text is None:
            return UNMATCHED
        return self._matched(method.decode("latin-1"), text)

    def allowed_methods(self, path: bytes) -> tuple[str, ...]:
        """The methods of all routes that have this path, sorted; empty where none has."""
        text = _decoded(path)
        if text is None:
            return ()
        methods: set[str] = set()
        for adapter in self._adapters:
            methods.update(adapter.allowed_methods(text))
        return tuple(sorted(methods))

    def _matched(self, method: str, path: str) -> str:
        for adapter in self._adapters:
            try:
                return self._pattern(adapter, method, path)
            except MethodNotAllowed as error:
                # Werkzeug names the methods of the rules that have this path, so one of them finds the rule.
                return self._pattern(adapter, min(error.valid_methods or [_NO_METHOD]), path)
            except HTTPException:
                continue
        return UNMATCHED

    def _pattern(self, adapter: MapAdapter, method: str, path: str) -> str:
        rule, _ = adapter.match(path, method=method, return_rule=True)
        pattern = self._patterns.get(rule.rule)
        if pattern is None:
            pattern = self._patterns[rule.rule] = _VARIABLE.sub(r":\1", rule.rule)
        return pattern

    def _add_static(self, url_map: Map) -> None:
        for rule in url_map.iter_rules():
            if rule.arguments or rule.build_only or rule.redirect_to is not None:
                continue
            methods = None if rule.methods is None else frozenset(name.encode() for name in rule.methods)
            path = rule.rule.encode()
            known = self._static.get(path)
            if known is not None and methods is not None:
                methods = None if known.methods is None else known.methods | methods
            self._static[path] = _Static(rule.rule, methods)


def _decoded(path: bytes) -> str | None:
    """The path as Klein matches it; None where it is no UTF-8, or begins with two slashes: one would be lost."""
    try:
        text = (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if text.startswith("//") else text
