"""Serving under a path of a proxy, such as https://example.org/llm/."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Strips `root` (such as `/llm`) from the path. A request without it passes unchanged: some proxies strip
    it themselves."""

    def __init__(self, app: ASGIApp, *, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = self._root
        if scope["type"] == "http":
            path = scope["path"]
            if path == root and scope["method"] in ("GET", "HEAD"):
                # The page's links are relative to a folder.
                await RedirectResponse(f"{root}/", 308)(scope, receive, send)
                return
            if path.startswith(f"{root}/"):
                scope = {**scope, "path": path[len(root) :], "raw_path": _without(scope, root)}
        await self._app(scope, receive, send)


def _without(scope: Scope, root: str) -> bytes | None:
    raw: bytes | None = scope.get("raw_path")
    return raw.removeprefix(root.encode("ascii")) if raw is not None else None
