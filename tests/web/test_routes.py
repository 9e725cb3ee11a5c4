"""The label `endpoint`."""

from __future__ import annotations

import pytest
from werkzeug.routing import Map, Rule

from ollamamax.web.routes import RouteTable


def table() -> RouteTable:
    """Routes of two apps, as the server has them."""
    native = Map(
        [
            Rule("/", methods=["GET"], endpoint="root"),
            Rule("/api/tags", methods=["GET"], endpoint="tags"),
            Rule("/api/chat", methods=["POST"], endpoint="chat"),
            Rule("/api/blobs/<digest>", methods=["HEAD", "POST"], endpoint="blobs"),
            Rule("/any", endpoint="any"),
            Rule("/split", methods=["GET"], endpoint="split_get"),
            Rule("/split", methods=["PUT"], endpoint="split_put"),
            Rule("/folder/", methods=["GET"], endpoint="folder"),
            Rule("/mixed/<id>", methods=["GET"], endpoint="mixed"),
            Rule("/mixed/special", methods=["POST"], endpoint="special"),
        ]
    )
    control = Map(
        [
            Rule("/api/v1/models", methods=["GET"], endpoint="models"),
            Rule("/api/v1/models/<path:id>", methods=["GET"], endpoint="model"),
            Rule("/api/v1/models/<path:id>/replicas", methods=["GET"], endpoint="replicas"),
            Rule('/api/v1/<any("a", "b"):kind>/<int(min=1):number>', methods=["DELETE"], endpoint="odd"),
        ]
    )
    return RouteTable([control, native])


@pytest.mark.parametrize(
    ("method", "path", "pattern"),
    [
        (b"GET", b"/", "/"),
        (b"HEAD", b"/", "/"),
        (b"GET", b"/api/tags", "/api/tags"),
        (b"HEAD", b"/api/tags", "/api/tags"),
        (b"GET", b"/api/%74ags", "/api/tags"),
        (b"GET", b"/api/v1/models", "/api/v1/models"),
        (b"GET", b"/api/v1/models/llama3.2:1b", "/api/v1/models/:id"),
        (b"GET", b"/api/v1/models/hf.co/x/y:q4", "/api/v1/models/:id"),
        (b"GET", b"/api/v1/models/a%2Fb", "/api/v1/models/:id"),
        (b"GET", "/api/v1/models/ä".encode(), "/api/v1/models/:id"),
        (b"GET", b"/api/v1/models/a/b/replicas", "/api/v1/models/:id/replicas"),
        (b"DELETE", b"/api/v1/a/3", "/api/v1/:kind/:number"),
        (b"POST", b"/api/blobs/sha256:0", "/api/blobs/:digest"),
        (b"DELETE", b"/any", "/any"),
        (b"PUT", b"/split", "/split"),
        (b"GET", b"/mixed/special", "/mixed/:id"),
        (b"POST", b"/mixed/special", "/mixed/special"),
    ],
)
def test_a_route_is_known_by_its_pattern(method: bytes, path: bytes, pattern: str) -> None:
    """Whatever the ids in the path, the label is the pattern."""
    assert table().endpoint(method, path) == pattern


@pytest.mark.parametrize(
    ("method", "path", "pattern"),
    [
        (b"DELETE", b"/api/tags", "/api/tags"),
        (b"FOO", b"/api/chat", "/api/chat"),
        (b"\xff", b"/api/chat", "/api/chat"),
        (b"_OTHER", b"/api/v1/models/x", "/api/v1/models/:id"),
        (b"GET", b"/api/blobs/x", "/api/blobs/:digest"),
        (b"DELETE", b"/split", "/split"),
    ],
)
def test_a_wrong_method_keeps_the_pattern(method: bytes, path: bytes, pattern: str) -> None:
    """A 405 belongs to the route that it was meant for."""
    assert table().endpoint(method, path) == pattern


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"/nothing",
        b"/api/tags/",
        b"/api/v1/models/",
        b"/folder",
        b"/api/v1/a/x",
        b"/api/v1/models/\xff",
        b"/api/v1/models/%ff",
        b"/%",
        b"/metrics",
    ],
)
def test_all_else_is_unmatched(path: bytes) -> None:
    """Paths of no route, redirects and paths that are no text share one label and allow no method."""
    assert table().endpoint(b"GET", path) == "unmatched"


def test_allowed_methods() -> None:
    """The methods of a path are those of all its routes; none for an unknown path or one that is no text."""
    routes = table()
    assert routes.allowed_methods(b"/api/tags") == ("GET", "HEAD")
    assert routes.allowed_methods(b"/split") == ("GET", "HEAD", "PUT")
    assert routes.allowed_methods(b"/api/v1/models/a%2Fb") == ("GET", "HEAD")
    assert routes.allowed_methods(b"/nothing") == ()
    assert routes.allowed_methods(b"/%ff") == ()


def test_routes_of_klein() -> None:
    """The maps are those of Klein apps, and variables are found as Klein finds them."""
    from klein import Klein

    app = Klein()
    app.route("/api/v1/nodes/<id>/health", methods=["GET"], endpoint="health")(lambda request, id: b"")
    assert RouteTable([app.url_map]).endpoint(b"GET", b"/api/v1/nodes/a/health") == "/api/v1/nodes/:id/health"


def test_rules_that_only_build_or_redirect_are_no_routes() -> None:
    """What werkzeug never matches, or only redirects, makes no label."""
    rules = [Rule("/built", build_only=True, endpoint="a"), Rule("/moved", redirect_to="/there", endpoint="b")]
    routes = RouteTable([Map(rules)])
    assert [routes.endpoint(b"GET", path) for path in (b"/built", b"/moved")] == ["unmatched", "unmatched"]
