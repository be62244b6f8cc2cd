"""Who may ask the studio anything: this machine's browser, with the token that was printed.

The order matters. The host's name comes first, for under DNS rebinding another site's page is of the same
origin as the studio; then the token; then, for what changes something, where the request comes from.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
BODY = 1_000_000  # bytes of a request, at most
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass
class Guard:
    """Stands before an application and refuses what is not the studio's own page."""

    app: ASGIApp
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def cookie(self) -> str:
        """Named by port, for cookies do not tell ports apart."""
        return f"headstart-studio-{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "") not in {f"{host}:{self.port}" for host in HOSTS}:
            await refuse(send, 403, "host", "this studio answers only to its own address on this machine")
            return
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and given:
            await self._enter(given, send)
            return
        if (refusal := self._refusal(scope, headers)) is not None:
            await refuse(send, *refusal)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                own = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in known]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        await self.app(scope, receive, secured)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Status, type and sentence of a refusal; None: the request may pass."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookies = dict(part.strip().partition("=")[::2] for part in headers.get("cookie", "").split(";"))
        by_header = self._is_token(bearer)
        if not by_header and not self._is_token(cookies.get(self.cookie, "")):
            return 401, "token", "open the address that headstart studio printed, token and all"
        origin = headers.get("origin")
        own = {f"http://{host}:{self.port}" for host in HOSTS}
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "origin", "another site may not ask this studio"
        if origin is not None and origin not in own:
            return 403, "origin", "another site may not ask this studio"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if origin is None and not by_header:
            return 403, "origin", "a request that changes something has to say where it comes from"
        if urlsplit(headers.get("content-type", "")).path.split(";")[0].strip() != "application/json":
            return 415, "content type", "send application/json"
        length = headers.get("content-length")
        if length is None or not length.isdigit():
            return 411, "length", "say how long the request is (Content-Length)"
        if int(length) > BODY:
            return 413, "size", f"a request has at most {BODY:,} bytes"
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    async def _enter(self, given: str, send: Send) -> None:
        """Take the token out of the address into a cookie."""
        if not self._is_token(given):
            await refuse(send, 401, "token", "this token is of another studio; open the printed address")
            return
        cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, status: int, kind: str, message: str) -> None:
    """Answer with a sentence, in the form of all errors of the studio."""
    body = orjson.dumps({"error": {"type": kind, "message": message}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
