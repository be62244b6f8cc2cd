"""A WARC of real pages: each once, and of some an exact or a near copy under another address."""

import gzip
import hashlib
import json
import random
import re
from pathlib import Path

HELD_BACK = "wcxb_test"
SETS = (HELD_BACK, "wcxb_dev", "segments", "articles", "pages")
LARGEST = 1 << 20  # bytes of a page; a crawl cuts longer ones off
EXACT_SHARE = NEAR_SHARE = 0.08
CHANGED = (0.02, 0.08)  # of a near copy's words
_PARAGRAPH = re.compile(r"(<p\b[^>]*>)(.*?)(</p>)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"(?<![\w<&/])[a-zA-Zäöüß]{3,}(?![\w>;])")


def labelled(data: Path, name: str) -> list[dict]:
    """The rows of one set in `DATA/web/`; none where only that is there which may be held back."""
    path = data / "web" / f"{name}.jsonl.gz"
    if name == HELD_BACK and not path.exists():
        return []
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [row | {"url": row.get("url") or f"https://{name}.example/{row['id']}"} for row in rows]


def write_warc(data: Path, path: Path, limit: int | None = None) -> dict[str, int]:
    """Write the pages; returns how many are of each kind."""
    rng = random.Random(0)
    pages = [
        (row["url"], row["html"].encode("utf-8", "replace")) for name in SETS for row in labelled(data, name)
    ]
    pages = list(dict(page for page in pages if len(page[1]) <= LARGEST).items())
    rng.shuffle(pages)
    pages = pages[:limit]
    exact = rng.sample(pages, round(EXACT_SHARE * len(pages)))
    near = rng.sample(pages, round(NEAR_SHARE * len(pages)))
    records = [*pages, *((f"{url}?copy", html) for url, html in exact)]
    for number, (url, html) in enumerate(near):
        records.append((f"{url}?near", _changed(html.decode(), CHANGED[number % len(CHANGED)], rng).encode()))
    rng.shuffle(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for content in map(_response, *zip(*records, strict=True)):
            file.write(gzip.compress(content, 5, mtime=0))
    return {
        "pages": len(pages),
        "exact": len(exact),
        "near": len(near),
        "bytes": sum(len(r[1]) for r in records),
    }


def _changed(html: str, share: float, rng: random.Random) -> str:
    """The page with a share of the words in its paragraphs replaced by other words of the page."""
    words = _WORD.findall(" ".join(match[2] for match in _PARAGRAPH.finditer(html))) or ["word"]

    def other(match: re.Match[str]) -> str:
        return rng.choice(words) if rng.random() < share else match[0]

    return _PARAGRAPH.sub(lambda match: match[1] + _WORD.sub(other, match[2]) + match[3], html)


def _response(url: str, html: bytes) -> bytes:
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:page:{_short(url)}>\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n"
        "WARC-Identified-Payload-Type: text/html\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def _short(url: str) -> str:
    return hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
