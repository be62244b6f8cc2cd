"""A view as one HTML file that needs no network: the pages' script and sheet, and the answers of the view.

The studio asks itself what the view has asked, and what its sliders reach beyond; the page reads these
answers in place of the network (`web/src/api/kept.ts`). A policy of its own closes it: no request, and no
script but this one.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.types import ASGIApp, Message

from headstart.errors import HeadstartError
from headstart.studio.state import Studio

PAGE = Path(__file__).parent / "static" / "export"
MOST = 40_000_000  # bytes of answers in one page
API = "/api/v1"
NEVER = ("events", "export")


@dataclass(frozen=True)
class Asked:
    """A request of a view, as `Asked` of `web/src/api/kept.ts`."""

    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


@dataclass(frozen=True)
class Answer:
    """What the studio said."""

    status: int
    media: str
    content: bytes


Reach = Callable[[Studio, Sequence[Asked]], list[Asked]]
"""What the sliders of a view reach, told by what it has asked already."""


async def page(app: ASGIApp, studio: Studio, view: str, address: str, asked: Sequence[Asked]) -> str:
    """The page of a view.

    Args:
        address: the view's own, `#corpus?at=…`.
        asked: what it is to hold, the newest last; a request that is there twice counts once.

    Raises:
        HeadstartError: the pages were not built.
    """
    if not (PAGE / "page.js").exists():
        raise HeadstartError(
            "the studio's pages were not built: run `make studio` in the repository, or install a wheel"
        )
    looking = replace(studio, read_only=True)
    wanted = [Asked("status"), Asked("folders"), *map(_bare, reversed(asked))]
    kept, size, left_out = [], 0, 0
    for one in {_key(one): one for one in wanted if one.path not in NEVER}.values():
        answer = await ask(app, looking, one)
        if answer.status != 200:
            continue
        size += len(answer.content)
        if size > MOST:
            size -= len(answer.content)
            left_out += 1
            continue
        kept.append(_kept(one, _of_the_view(one, answer, asked)))
    facts = {
        "view": view, "hash": address, "made": time.strftime("%d %B %Y"), "left_out": left_out,
        "answers": kept,
    }  # fmt: skip
    return _html(view, orjson.dumps(facts).decode())


async def ask(app: ASGIApp, studio: Studio, asked: Asked) -> Answer:
    """The studio's own answer, without a way through the network; one that changes something is refused."""
    body = b"" if asked.body is None else orjson.dumps(asked.body)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": asked.method,
        "scheme": "http", "path": f"{API}/{asked.path}", "raw_path": f"{API}/{asked.path}".encode(),
        "root_path": "",
        "query_string": urlencode(asked.query).encode(),
        "headers": [(b"content-type", b"application/json")],
        "client": None, "server": None, "studio": studio,
    }  # fmt: skip
    status, media, parts = 500, "", []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, media
        if message["type"] == "http.response.start":
            status = message["status"]
            media = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, media, b"".join(parts))


def _bare(asked: Asked) -> Asked:
    """Without who asked, and in which turn: no later request of the view makes this one void."""
    if asked.body is None:
        return asked
    return replace(asked, body={k: v for k, v in asked.body.items() if k not in ("view", "turn")})


def _key(asked: Asked) -> bytes:
    return orjson.dumps([asked.path, asked.query, asked.body], option=orjson.OPT_SORT_KEYS)


def _of_the_view(one: Asked, answer: Answer, asked: Sequence[Asked]) -> Answer:
    """The list of folders without those that the page shows nothing of."""
    if one.path != "folders":
        return answer
    shown = {str((each.query | (each.body or {})).get("at", "")) for each in asked}
    listed = [
        folder
        for folder in orjson.loads(answer.content)
        if any(at == folder["at"] or at.startswith(folder["at"] + "/") for at in shown)
    ]
    return replace(answer, content=orjson.dumps(listed))


def _kept(asked: Asked, answer: Answer) -> dict[str, Any]:
    """An answer as the page holds it."""
    given = {"query": asked.query} if asked.body is None else {"body": asked.body}
    kept = {"method": asked.method, "path": asked.path, "media": answer.media, **given}
    if answer.media.startswith("application/json"):
        return kept | {"text": answer.content.decode()}
    return kept | {"bytes": base64.b64encode(answer.content).decode()}


def _html(view: str, facts: str) -> str:
    script = (PAGE / "page.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    style = (PAGE / "page.css").read_text(encoding="utf-8").replace("</style", "<\\/style")
    facts = facts.replace("</", "<\\/")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "font-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="content-security-policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{view} · headstart studio</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<div id="app"></div>\n<script type="application/json" id="kept">{facts}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
