"""How a Klein app answers what its handlers raise: once for every app, in the app's own dialect."""

from __future__ import annotations

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from ollamamax.errors import GatewayError, InternalError, MethodNotAllowed, RequestRejected, RouteNotFound
from ollamamax.web.dialects import answer, dialect_of
from ollamamax.web.site import GatewayRequest

_log = Logger()


def answers_failures(app: Klein) -> Klein:
    """Gives an app the one error handler of this house, and makes it match paths as they are.

    Args:
        app: an app on a class; werkzeug's redirects for doubled slashes are switched off, since Ollama has none.
    """
    app.url_map.merge_slashes = False
    app.handle_errors(Exception)(_answer_failure)  # type: ignore[arg-type] # Klein's type names no request
    return app


def _answer_failure(_routes: object, request: Request, failure: Failure) -> bytes:
    """Answers a failed request, unless its client has gone or its head has already been sent."""
    assert isinstance(request, GatewayRequest)
    if failure.check(CancelledError):
        failure.raiseException()
    error = _gateway_error(failure, request.request_id)
    if request.startedWriting:
        _log.failure(
            "request {request_id}: its response failed after its head was sent ({code})",
            failure=failure,
            request_id=request.request_id,
            code=error.code,
        )
        request.break_off()
        return b""
    return answer(request, error, dialect_of(request.path), request.request_id)


def _gateway_error(failure: Failure, request_id: str) -> GatewayError:
    error = failure.value
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, WerkzeugMethodNotAllowed):
        return MethodNotAllowed(sorted(error.valid_methods or ()))
    if isinstance(error, HTTPException):
        return RouteNotFound() if error.code == 404 else RequestRejected()
    _log.failure("request {request_id} failed by a defect of the gateway", failure=failure, request_id=request_id)
    return InternalError()
