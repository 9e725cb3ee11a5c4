"""Which app or resource a path belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klein.resource import KleinResource
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import Request

from ollamamax.errors import RouteNotFound
from ollamamax.web.dialects import answer, dialect_of
from ollamamax.web.site import GatewayRequest

if TYPE_CHECKING:
    from ollamamax.web.compatible import CompatibleRoutes
    from ollamamax.web.control import ControlRoutes
    from ollamamax.web.native import NativeRoutes

_CONTROL = b"/api/v1/"
_COMPATIBLE = b"/v1/"


class RootResource(Resource):
    """The whole server, but for what is wrapped around it.

    Args:
        native: the routes at the root.
        compatible: the routes under /v1.
        control: the routes under /api/v1.
        metrics: `/metrics`.
        statistics: `/metrics.json`.
    """

    isLeaf = True

    def __init__(
        self,
        *,
        native: NativeRoutes,
        compatible: CompatibleRoutes,
        control: ControlRoutes,
        metrics: IResource,
        statistics: IResource,
    ) -> None:
        super().__init__()
        self._plain: dict[bytes, IResource] = {b"/metrics": metrics, b"/metrics.json": statistics}
        self._native: KleinResource = native.app.resource()
        self._compatible: KleinResource = compatible.app.resource()
        self._control: KleinResource = control.app.resource()

    def render(self, request: Request) -> bytes | int:
        """Hands a request on; a path of no route goes to an app too, which says so in its dialect."""
        path = b"/" + b"/".join(request.postpath or ())
        target = self._plain.get(path)
        if target is None and not _is_plain(path):
            return _unknown(request)
        if target is None:
            target = getChildForRequest(self._app(path), request)
        rendered: bytes | int = target.render(request)
        return rendered

    def _app(self, path: bytes) -> KleinResource:
        if path.startswith(_CONTROL):
            return self._control
        return self._compatible if path.startswith(_COMPATIBLE) else self._native


def _is_plain(path: bytes) -> bool:
    """Whether a path is UTF-8, as Klein wants it, and begins with one slash: werkzeug takes many for one."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not path.startswith(b"//")


def _unknown(request: Request) -> bytes:
    assert isinstance(request, GatewayRequest)
    body = answer(request, RouteNotFound(), dialect_of(request.path), request.request_id)
    return b"" if request.method == b"HEAD" else body
