"""What the Corpus view reads of a corpus folder: flows, removed documents, differences, any token's page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.corpus.dedup.documents import EXACT, NEAR
from headstart.corpus.filters.signal_spans import spans
from headstart.corpus.judge import QUALITY
from headstart.corpus.report.facts import difference, excerpted
from headstart.corpus.report.schema import Report, Span, read_report
from headstart.corpus.trace import Traced, raw_record
from headstart.corpus_folder import CorpusManifest, FunnelRow, Totals, corpus_manifest
from headstart.errors import HeadstartError
from headstart.recipe import read_yaml
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.locate import document_at
from headstart.tokenizer.shards import StageTokens, tokens_manifest

PAGE = 12
"""Removed documents that are read at once."""
TEXT = 6_000
"""Characters of a document that are shown."""
RAW = 60_000
AROUND = 80
"""Tokens before and behind one that is looked up."""
BATCH = 2_048
COLUMNS = ["id", "url", "domain", "language", "detail", "kept", "similarity", "text", "stage", "rule"]
OTHERS = "others"


def report_of(folder: Path) -> Report:
    """The report of a finished corpus.

    Raises:
        HeadstartError: it is missing, or older than the corpus.
    """
    manifest = corpus_manifest(folder)
    if not (folder / "report.json").exists():
        raise HeadstartError(f"{folder.name} has no report.json; make the corpus again")
    report = read_report(folder)
    stages = {len(rows) for by in report["by"].values() for rows in by.values()}
    if report["funnel"] != manifest["funnel"] or stages - {len(report["funnel"]) - 1}:
        raise HeadstartError(
            f"the report of {folder.name} is of another making than its manifest; make the corpus again"
        )
    return report


def flows(report: Report) -> dict[str, list[FunnelRow]]:
    """By domain, what each stage left, the largest first; what the report has no row of is in `others`.

    The last row is that of the finished corpus, where the mix may have repeated documents.
    """
    by = {name: list(rows) for name, rows in report["by"]["domain"].items()}
    for name, rows in by.items():
        held = report["domains"].get(name, Totals(documents=0, bytes=0, words=0))
        rows[-1] = FunnelRow(stage=rows[-1]["stage"], **held)
    rest = [
        _remainder(row, [rows[place] for rows in by.values()])
        for place, row in enumerate(report["funnel"][1:])
    ]
    return by | ({OTHERS: rest} if any(row["documents"] > 0 for row in rest) else {})


def _remainder(whole: FunnelRow, parts: Sequence[FunnelRow]) -> FunnelRow:
    return FunnelRow(
        stage=whole["stage"],
        documents=whole["documents"] - sum(one["documents"] for one in parts),
        bytes=whole["bytes"] - sum(one["bytes"] for one in parts),
        words=whole.get("words", 0) - sum(one.get("words", 0) for one in parts),
    )


@dataclass(frozen=True)
class TokensOf:
    """A tokens folder of a corpus."""

    path: Path
    splits: dict[str, int]
    """Tokens by split."""
    stages: list[StageTokens]


def tokens_of(manifest: CorpusManifest, folders: Sequence[Path]) -> list[TokensOf]:
    """The folders that this corpus was encoded into; those of earlier versions do not say so."""
    found = []
    for path in folders:
        try:
            tokens = tokens_manifest(path)
        except HeadstartError:
            continue
        if tokens.get("corpus") == manifest["fingerprint"]:
            splits = {name: split["tokens"] for name, split in tokens["splits"].items()}
            found.append(TokensOf(path, splits, tokens.get("stages", [])))
    return found


def mix_settings(folder: Path) -> dict[str, Any]:
    """The recipe's settings of the mix."""
    settings = read_yaml(folder / "recipe.yaml")[0] if (folder / "recipe.yaml").is_file() else {}
    mix = settings.get("mix")
    return mix if isinstance(mix, dict) else {}


# --- removed documents --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removed:
    """A document that went, and what of its text the rule is about."""

    id: str
    url: str
    domain: str
    language: str
    detail: str
    kept: str
    similarity: float | None
    start: int
    excerpt: str
    spans: list[Span]


def removed_documents(folder: Path, stage: str, rule: str, after: int) -> list[Removed]:
    """Some of the documents that a rule removed, in the order of the files.

    Args:
        after: how many are passed over.
    """
    signal = _signal(folder, rule) if stage == QUALITY else None
    found: list[Removed] = []
    for batch in _batches(folder / "removed", ["stage", "rule"], COLUMNS, {"stage": stage, "rule": rule}):
        if after >= len(batch):
            after -= len(batch)
            continue
        for row in batch[after : after + PAGE - len(found)]:
            start, excerpt, marked = excerpted(row["text"], spans(row["text"], signal) if signal else [])
            named = {name: row[name] or "" for name in ("id", "url", "domain", "language", "detail", "kept")}
            found.append(
                Removed(**named, similarity=row["similarity"], start=start, excerpt=excerpt, spans=marked)
            )
        after = 0
        if len(found) == PAGE:
            break
    return found


def _signal(folder: Path, rule: str) -> str | None:
    """The measure that a rule of the recipe decides over."""
    rules = report_of(folder)["quality"]["rules"]
    return next((one["signal"] for one in rules if one["rule"] == rule), None)


def pair(folder: Path, identity: str) -> tuple[str, float | None, list[list[str]]]:
    """Of a duplicate that went: what stays in its stead, how alike they are, and where they differ.

    Raises:
        HeadstartError: it is no duplicate, or the other one's text is in another corpus.
    """
    gone = _document(folder / "removed", identity, ["id", "text", "kept", "similarity", "stage"])
    if gone is None or gone["stage"] not in (NEAR, EXACT) or not gone["kept"]:
        raise HeadstartError(f"no duplicate {identity!r} went from this corpus; choose another")
    other = str(gone["kept"])
    kept = _document(folder / "documents", other, ["id", "text"])
    kept = kept or _document(folder / "removed", other, ["id", "text"])
    if kept is None:
        raise HeadstartError(f"{other} stands in an earlier corpus, whose text is not here")
    alike = cast("float | None", gone["similarity"])
    return other, alike, difference(str(kept["text"]), str(gone["text"]))


def _document(folder: Path, identity: str, columns: list[str]) -> Mapping[str, Any] | None:
    for batch in _batches(folder, ["id"], columns, {"id": identity}):
        return batch[0]
    return None


def _batches(
    folder: Path, keys: list[str], columns: list[str], wanted: Mapping[str, str]
) -> Iterator[list[dict[str, Any]]]:
    """The rows of a folder's files that have some values, file by file; texts are read only of these."""
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=keys)
                meant = None
                for name, value in wanted.items():
                    same = pc.fill_null(pc.equal(table[name], value), False)
                    meant = same if meant is None else pc.and_(meant, same)
                places = pc.indices_nonzero(meant)
                if len(places):
                    yield file.read_row_group(group, columns=columns).take(places).to_pylist()


# --- back to the page ---------------------------------------------------------------------------------


def text_of(folder: Path, one: Traced) -> str:
    """The beginning of a traced document's text, as the corpus has it."""
    if one["status"] == "skipped":
        return ""
    room = "documents" if one["status"] == "kept" else "removed"
    row = _document(folder / room, one["id"], ["id", "text"])
    return "" if row is None else str(row["text"])[:TEXT]


@dataclass(frozen=True)
class TokenFound:
    """A token, the document that holds it, and its neighbours."""

    id: str
    domain: str
    shard: str
    first: int
    """The place of the document's first token in the split."""
    tokens: int
    text: str
    before: str
    behind: str


def token_at(folder: Path, split: str, place: int) -> TokenFound:
    """The token at a place of a split, among its neighbours of the same document.

    Raises:
        HeadstartError: there is no such split or token.
    """
    document = document_at(folder, split, place)
    ids = np.load(folder / f"{document['shard']}.npy", mmap_mode="r")
    own = ids[document["start"] : document["start"] + document["tokens"]]
    at = place - document["first"]
    tokenizer = open_tokenizer(folder)
    return TokenFound(
        document["id"], document["domain"], document["shard"], document["first"], document["tokens"],
        text=tokenizer.token_text(int(own[at])),
        before=tokenizer.decode(own[max(0, at - AROUND) : at].tolist()),
        behind=tokenizer.decode(own[at + 1 : at + 1 + AROUND].tolist()),
    )  # fmt: skip


def raw_text(folder: Path, source: str, roots: Sequence[Path]) -> str:
    """The beginning of the raw record that a document was made from, read again where it lies.

    Raises:
        HeadstartError: the file is gone, has changed, or lies outside of the studio's folders.
    """
    return raw_record(folder, source, within=roots).text[:RAW]
