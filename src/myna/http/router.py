"""Finds the route of a path."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send


class PathTable(Router):
    """Starlette's router, which tries one regular expression after another, after a table of the paths that
    have no parameters: those of all requests to models."""

    def __init__(
        self, routes: Sequence[BaseRoute], *, default: ASGIApp, lifespan: Callable[[Any], Any]
    ) -> None:
        super().__init__(routes, redirect_slashes=False, default=default, lifespan=lifespan)
        own = [route for route in routes if isinstance(route, Route)]
        self._table: Final = {route.path: route.app for route in own if _is_first(route, own)}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._table.get(scope["path"]) if scope["type"] == "http" else None
        if app is None or scope.get("root_path"):
            await super().app(scope, receive, send)
        else:
            scope["path_params"] = {}
            await app(scope, receive, send)


def _is_first(route: Route, routes: Sequence[Route]) -> bool:
    """Whether the route has a path without parameters, takes every method, and precedes all others that match
    its path."""
    if route.param_convertors or route.methods is not None:
        return False
    return next(other for other in routes if other.path_regex.match(route.path)) is route
