"""The Corpus view: flows by stage and domain, what went and why, thresholds, the mix, any token's page.

What reads Parquet is loaded with the first question, so that a studio without corpora stays small.
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from headstart.corpus_folder import FunnelRow, MixRow, corpus_manifest
from headstart.scaling.published import repeated
from headstart.studio.export import Asked
from headstart.studio.frames import encode
from headstart.studio.state import Studio, StudioState, frame

if TYPE_CHECKING:
    from headstart.corpus.report.schema import NearDuplicates, RuleRow
    from headstart.studio.corpus_reading import TokensOf

router = APIRouter()

At = Annotated[str, Query(max_length=1000)]


class Stage(BaseModel):
    """What a stage left; None where nobody has counted."""

    stage: str
    documents: int
    bytes: int
    words: int | None
    tokens: int | None


class Flow(BaseModel):
    """What each stage left of a domain."""

    domain: str
    stages: list[Stage]


class Rule(BaseModel):
    """A rule of quality, and what it removed, alone and with others."""

    rule: str
    signal: str
    op: str
    threshold: float
    pages: bool
    meaning: str
    fires: int
    alone: int
    bytes: int
    general: bool
    """Whether it holds for languages without a rule of that name of their own."""
    languages: list[str]
    """Those of the sample that have one."""


class Pair(BaseModel):
    """A near duplicate that went, and the document that stays."""

    gone: str
    kept: str
    similarity: float | None
    difference: list[list[str]]
    """Stretches of words: `same`, `kept` or `gone`, and the words."""


class Found(BaseModel):
    """How well planted copies were found."""

    changed: float
    copies: int
    found: int
    expected: float
    jaccard: float | None
    false: int


class Near(BaseModel):
    """Near duplicates of the whole corpus."""

    similarity: list[int]
    """Counts in steps of 1/20."""
    sizes: dict[str, int]
    pairs: list[Pair]
    recall: list[Found]


class Mixed(BaseModel):
    """A group of the mix: what there is, what was asked for, what came of it, in bytes."""

    group: str
    share: float
    available: int
    chosen: int
    repeats: float


class Mix(BaseModel):
    """The mix as it ran, and what a reader may try beside it."""

    by: str
    set: bool
    """Whether the recipe set shares or a budget; else every document occurs once."""
    budget: int
    """Bytes that are dealt out."""
    max_repeats: float
    bytes_per_token: float
    repeats_decay: float
    """R_D* of Muennighoff et al. 2023: how fast repeated text loses its worth."""
    groups: list[Mixed]


class TokensAnswer(BaseModel):
    """A tokens folder that was made from this corpus."""

    at: str
    splits: dict[str, int]


class Corpus(BaseModel):
    """All that the view shows at first."""

    at: str
    fingerprint: str
    created: str
    seconds: float
    inputs: int
    stages: list[Stage]
    flows: list[Flow]
    removed: dict[str, dict[str, int]]
    """By stage and rule."""
    skipped: dict[str, int]
    languages: dict[str, int]
    """Bytes."""
    personal_data: dict[str, int]
    judged: int
    broken: int
    """Documents that broke a rule or more."""
    rules: list[Rule]
    near: Near | None
    mix: Mix
    tokens: list[TokensAnswer]


class RemovedDocument(BaseModel):
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
    spans: list[list[int]]


class Way(BaseModel):
    """What became of a document."""

    status: str
    id: str
    url: str
    source: str
    domain: str
    language: str
    date: str
    copies: int
    places: list[str]
    stage: str
    rule: str
    detail: str
    cut: list[dict[str, str | int]]
    duplicates: list[dict[str, str]]
    tokens: list[dict[str, str | int]]
    text: str


class Token(BaseModel):
    """A token among its neighbours, and the document that holds it."""

    id: str
    domain: str
    shard: str
    first: int
    tokens: int
    text: str
    before: str
    behind: str


class RawRecord(BaseModel):
    """The beginning of a raw record, as text."""

    text: str


@router.get("/corpus")
def corpus(studio: StudioState, at: At) -> Corpus:
    """A corpus's manifest and report, without the sample of its signals."""
    from headstart.studio import corpus_reading as reading

    folder = studio.folders.find(at)
    manifest, report = corpus_manifest(folder), reading.report_of(folder)
    tokens = _tokens_of(studio, at)
    counted = next((one.stages for one in tokens if one.stages), [])
    in_all = {one["stage"]: one["tokens"] for one in counted}
    by_domain = {one["stage"]: one["domains"] for one in counted}
    flows = reading.flows(report)
    quality, near = report["quality"], report["near_duplicates"]
    return Corpus(
        at=at, fingerprint=manifest["fingerprint"], created=manifest["created"], seconds=manifest["seconds"],
        inputs=len(manifest["inputs"]),
        stages=[_stage(row, in_all.get(row["stage"])) for row in manifest["funnel"]],
        flows=[
            Flow(domain=name, stages=[_stage(row, _tokens(by_domain, row["stage"], name)) for row in rows])
            for name, rows in flows.items()
        ],
        removed=manifest["removed"], skipped=manifest["skipped"], personal_data=manifest["personal_data"],
        languages={name: one["bytes"] for name, one in manifest["languages"].items()},
        judged=quality["judged"], broken=quality["any"]["documents"],
        rules=[_rule(rule) for rule in quality["rules"]],
        near=_near(near) if near else None,
        mix=_mix(manifest["mix"], flows, reading.mix_settings(folder)),
        tokens=[TokensAnswer(at=studio.folders.address(one.path), splits=one.splits) for one in tokens],
    )  # fmt: skip


@router.get("/corpus/sample")
def sample(studio: StudioState, at: At) -> Response:
    """The signals of a sample of the documents that came to the rules: `places` by signal, `pages`, and
    `own RULE` where languages have rules of their own."""
    from headstart.studio import corpus_reading as reading

    quality = reading.report_of(studio.folders.find(at))["quality"]
    found = quality["sample"]
    tensors = {name: _bytes(one["places"]) for name, one in found["signals"].items()}
    if "pages" in found:
        tensors["pages"] = _bytes(found["pages"])
    tensors |= {f"own {rule}": _bytes(said) for rule, said in found.get("own", {}).items()}
    signals = {
        name: {"values": one["values"], "histogram": one["histogram"]}
        for name, one in found["signals"].items()
    }
    fields = {"documents": found["documents"], "judged": quality["judged"], "signals": signals}
    return frame(encode(fields, tensors))


@router.get("/corpus/removed")
def removed(
    studio: StudioState, at: At, stage: str, rule: str, after: Annotated[int, Query(ge=0)] = 0
) -> list[RemovedDocument]:
    """A page of the documents that a rule removed."""
    from headstart.studio import corpus_reading as reading

    found = reading.removed_documents(studio.folders.find(at), stage, rule, after)
    return [RemovedDocument(**asdict(one)) for one in found]


@router.get("/corpus/pair")
def pair(studio: StudioState, at: At, identity: str) -> Pair:
    """Where a duplicate that went differs from what stays."""
    from headstart.studio import corpus_reading as reading

    kept, alike, difference = reading.pair(studio.folders.find(at), identity)
    return Pair(gone=identity, kept=kept, similarity=alike, difference=difference)


@router.get("/corpus/trace")
def trace(studio: StudioState, at: At, name: Annotated[str, Query(max_length=4000)]) -> list[Way]:
    """What became of the documents of an id, an address or a raw record, and where their tokens lie."""
    from headstart.corpus.trace import trace as traced
    from headstart.studio import corpus_reading as reading
    from headstart.tokenizer.locate import places_of

    folder = studio.folders.find(at)
    encoded = [(studio.folders.address(one.path), one.path) for one in _tokens_of(studio, at)]
    ways = []
    for one in traced(folder, name):
        places: list[dict[str, str | int]] = [
            {"at": address, **place}  # type: ignore[dict-item]
            for address, path in encoded
            if one["status"] == "kept"
            for place in places_of(path, one["id"])
        ]
        ways.append(_way(cast(dict[str, object], one), places, reading.text_of(folder, one)))
    return ways


@router.get("/corpus/token")
def token(studio: StudioState, at: At, split: str, place: Annotated[int, Query(ge=0)]) -> Token:
    """The token at a place of a tokens folder, and the document that holds it."""
    from headstart.studio import corpus_reading as reading

    return Token(**asdict(reading.token_at(studio.folders.find(at), split, place)))


@router.get("/corpus/raw")
def raw(studio: StudioState, at: At, source: Annotated[str, Query(max_length=4000)]) -> RawRecord:
    """The raw record of a document, read again; only from inside the studio's folders."""
    from headstart.studio import corpus_reading as reading

    return RawRecord(text=reading.raw_text(studio.folders.find(at), source, studio.folders.readable))


def reach(studio: Studio, asked: Sequence[Asked]) -> list[Asked]:
    """The corpus, its sample, and the first removed documents of every rule."""
    ats = [one.query["at"] for one in asked if one.path == "corpus" and "at" in one.query]
    if not ats:
        return []
    at = ats[-1]
    pages = [
        Asked("corpus/removed", {"at": at, "stage": stage, "rule": rule, "after": "0"})
        for stage, rules in corpus_manifest(studio.folders.find(at))["removed"].items()
        for rule in rules
    ]
    return [*pages, Asked("corpus/sample", {"at": at}), Asked("corpus", {"at": at})]


def _tokens_of(studio: Studio, at: str) -> "list[TokensOf]":
    from headstart.studio import corpus_reading as reading

    paths = [studio.folders.find(one.at) for one in studio.folders.listing() if one.kind == "tokens"]
    return reading.tokens_of(corpus_manifest(studio.folders.find(at)), paths)


def _tokens(by_domain: dict[str, dict[str, int]], stage: str, domain: str) -> int | None:
    """None where the stages were not counted, or where the domain stands for several."""
    if stage not in by_domain or domain == "others":
        return None
    return by_domain[stage].get(domain, 0)


def _stage(row: FunnelRow, tokens: int | None) -> Stage:
    return Stage(
        stage=row["stage"], documents=row["documents"], bytes=row["bytes"], words=row.get("words"),
        tokens=tokens,
    )  # fmt: skip


def _rule(rule: "RuleRow") -> Rule:
    return Rule(
        rule=rule["rule"], signal=rule["signal"], op=rule["op"], threshold=rule["threshold"],
        pages=rule["pages"], meaning=rule["meaning"], fires=rule["fires"], alone=rule["alone"],
        bytes=rule["bytes"], general=rule.get("general", True), languages=rule.get("languages", []),
    )  # fmt: skip


def _near(near: "NearDuplicates") -> Near:
    return Near(
        similarity=near["similarity"], sizes=near["sizes"],
        pairs=[Pair(**one) for one in near["examples"]],
        recall=[Found(**one) for one in near["recall"] if one["copies"]],
    )  # fmt: skip


def _mix(plan: dict[str, MixRow], flows: dict[str, list[FunnelRow]], settings: dict[str, object]) -> Mix:
    """The plan as it ran; where there was none, what every domain has, taken once."""
    if plan:
        groups = [
            Mixed(group=name, share=row["share"], available=row["available"], chosen=row["chosen"],
                  repeats=row["repeats"])
            for name, row in plan.items()
        ]  # fmt: skip
    else:
        held = {name: rows[-1]["bytes"] for name, rows in flows.items()}
        total = max(sum(held.values()), 1)
        groups = [
            Mixed(group=name, share=size / total, available=size, chosen=size, repeats=1.0)
            for name, size in held.items()
        ]
    budget = sum(one.chosen for one in groups)
    return Mix(
        by=str(settings.get("by", "domain")), set=bool(plan), budget=budget, groups=groups,
        max_repeats=float(cast(float, settings.get("max_repeats", 4.0))),
        bytes_per_token=float(cast(float, settings.get("bytes_per_token", 4.0))),
        repeats_decay=repeated(1.0).tokens_decay,
    )  # fmt: skip


def _way(one: dict[str, object], tokens: list[dict[str, str | int]], text: str) -> Way:
    """A traced document as the view has it, whatever its fate."""
    words = ("status", "id", "url", "source", "domain", "language", "date", "stage", "rule", "detail")
    known = {name: str(one.get(name) or "") for name in words}
    if one["status"] == "skipped":
        known |= {"id": known["source"], "detail": str(one.get("reason", ""))}
    places = cast(list[dict[str, object]], one.get("places", []))
    return Way(
        **known, copies=cast(int, one.get("copies", 1)), tokens=tokens, text=text,
        places=[f"{place['file']}, row {place['row']}" for place in places],
        cut=cast(list[dict[str, str | int]], one.get("cut", [])),
        duplicates=cast(list[dict[str, str]], one.get("duplicates", [])),
    )  # fmt: skip


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)
