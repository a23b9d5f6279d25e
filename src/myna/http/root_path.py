"""Where a proxy puts the server under a path of its own, such as https://example.org/llm/."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Takes `root` (such as `/llm`) off the path. A request without it passes as it is: some proxies take it
    off themselves."""

    def __init__(self, app: ASGIApp, *, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = self._root
        if scope["type"] == "http":
            path = scope["path"]
            if path == root and scope["method"] in ("GET", "HEAD"):
                # The page's own links start from a folder.
                await RedirectResponse(f"{root}/", 308)(scope, receive, send)
                return
            if path.startswith(f"{root}/"):
                scope = {**scope, "path": path[len(root) :], "raw_path": _without(scope, root)}
        await self._app(scope, receive, send)


def _without(scope: Scope, root: str) -> bytes | None:
    raw: bytes | None = scope.get("raw_path")
    return raw.removeprefix(root.encode("ascii")) if raw is not None else None
