"""Content that is no text, whatever its name or its server says: by its first bytes and its control
characters (https://mimesniff.spec.whatwg.org, sections 6 and 7)."""

import re

import orjson

_LOOKED_AT = 4096
# How files begin that are packed, drawn, played, run or set; and their names.
_SIGNATURES = re.compile(
    rb"(?P<PDF>%PDF-)|(?P<PostScript>%!PS-Adobe)|(?P<RTF>\{\\rtf1)|(?P<MHTML>From: <Saved by )"
    rb"|(?P<zip>PK\x03\x04|PK\x05\x06)|(?P<gzip>\x1f\x8b\x08)|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<xz>\xfd7zXZ\x00)"
    rb"|(?P<zstd>\x28\xb5\x2f\xfd)|(?P<seven_zip>7z\xbc\xaf\x27\x1c)|(?P<RAR>Rar!\x1a\x07)"
    rb"|(?P<JPEG>\xff\xd8\xff)|(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<GIF>GIF8[79]a(?=.{0,6}[\0-\x08]))|(?P<TIFF>II\*\0|MM\0\*)"
    rb"|(?P<RIFF>RIFF....(?:WEBP|WAVE|AVI ))|(?P<DjVu>AT&TFORM)|(?P<MP4>....ftyp)|(?P<Ogg>OggS\0)"
    rb"|(?P<MP3>ID3[\x02-\x04]\0)|(?P<FLAC>fLaC\0)|(?P<WebM>\x1aE\xdf\xa3)|(?P<font>wOF[F2](?:\0\1|OTTO|true)|\0\1\0\0|OTTO\0)"
    rb"|(?P<Office>\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1)|(?P<WebAssembly>\0asm)|(?P<ELF>\x7fELF)"
    rb"|(?P<SQLite>SQLite format 3\0)|(?P<Flash>[FCZ]WS[\x03-\x08\x0b\x0c\x0e-\x1f])",
    re.DOTALL,
)
# Besides the signs that old texts are set with: backspace, tabs, ends of lines, escape.
_CONTROL = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
# Of packed or drawn content one character in ten is one; texts have none, but for single damaged ones.
_MOST_CONTROL, _FEW = 0.03, 2
# Feeds and lists of a site's pages, behind what may stand before the first element of XML.
_NO_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s++|<!--.*?-->|<\?.*?\?>|<![^>]*+>)*+<(?P<name>rss|feed|rdf:rdf|urlset|sitemapindex|opml)"
    rb"[\s>]",
    re.DOTALL | re.IGNORECASE,
)


def signed_kind(content: bytes) -> str | None:
    """What content is that begins like a file of another kind than text, in words; None: it does not."""
    match = _SIGNATURES.match(content[:_LOOKED_AT])
    return f"{(match.lastgroup or '').replace('seven_zip', '7-Zip')}, which is not read" if match else None


def is_garbled(text: str) -> bool:
    """Whether a text is what becomes of content that is none: full of control characters."""
    beginning = text[:_LOOKED_AT].rstrip("\0")
    return len(_CONTROL.findall(beginning)) > max(_FEW, _MOST_CONTROL * len(beginning))


def kind_beside_pages(content: bytes) -> str | None:
    """What content is that was called a page and is data, in words; None: it may be a page."""
    if match := _NO_PAGE.match(content[:_LOOKED_AT]):
        return f"XML of the kind <{match['name'].decode().lower()}>, and no page"
    if content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        try:
            orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            return None
        return "JSON, and no page"
    return None
