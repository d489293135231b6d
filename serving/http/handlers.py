"""What an application answers when a route raises: each error as a problem document."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.http import problems
from serving.http.problems import MEDIA_TYPE, ProblemError


def install(app: FastAPI) -> None:
    """Give `app` the handlers; the guard around it sets each request's id."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(ClientDisconnect, _incomplete)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return Response(error.body(request.scope["request_id"]), error.status, error.headers, MEDIA_TYPE)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return await _problem(request, problems.of_http(error))


async def _bad_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return await _problem(request, problems.of_request(error))


async def _incomplete(request: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        raise error
    return await _problem(request, problems.incomplete())
