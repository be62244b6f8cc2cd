"""What `report.json` of a corpus holds, and what of it each task counts."""

from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus.dedup.decontaminate import Contamination
from headstart.corpus.dedup.recall import RecallRow
from headstart.corpus_folder import CorpusFacts, FunnelRow
from headstart.folder import read_json

Span = list[int]
"""Where a stretch of an excerpt begins and ends, in characters."""


class Example(TypedDict):
    """A removed document, and what of its text the rule is about."""

    id: str
    url: str
    domain: str
    language: str
    stage: str
    rule: str
    detail: str
    draw: int
    """Its random number: those with the least are shown."""
    start: int
    """The excerpt's place in the text."""
    excerpt: str
    spans: list[Span]


class CountedPairs(TypedDict):
    """Near duplicates of a task."""

    similarity: list[int]
    """How many there are, in steps of 1/20 of similarity to what stays."""
    shown: list[tuple[int, int, float]]
    """Random number, number of the document that went, similarity."""


class CountedTask(TypedDict):
    """What the report needs of one task. Lists run over the rules, `together` over pairs of them."""

    judged: int
    fires: list[int]
    bytes: list[int]
    alone: list[int]
    alone_bytes: list[int]
    together: list[list[int]]
    any: tuple[int, int]
    """Documents that broke a rule, and their bytes."""
    examples: list[Example]
    pairs: CountedPairs


class RuleRow(TypedDict):
    """A rule, and what it removes, alone and with others."""

    rule: str
    signal: str
    op: str
    threshold: float
    pages: bool
    """Whether it holds for pages alone."""
    meaning: str
    general: NotRequired[bool]
    """Whether it holds for languages that have no rule of that name of their own."""
    languages: NotRequired[list[str]]
    """Those of the sample that have one, or that it does not hold for."""
    fires: int
    bytes: int
    alone: int
    alone_bytes: int


class Histogram(TypedDict):
    """Counts over equal steps from `low` to `high`; `log`: of log10(1 + value)."""

    log: bool
    low: float
    high: float
    counts: list[int]


class SignalSample(TypedDict):
    """A signal of the sample."""

    values: list[float]
    """Ascending."""
    places: str
    """A byte a document, in base64: twice the index of its value, one less where it lies before that one."""
    histogram: Histogram


class Sample(TypedDict):
    """The signals of some random documents that came to the rules."""

    documents: int
    pages: NotRequired[str]
    """A byte a document, in base64: whether it is a page."""
    signals: dict[str, SignalSample]
    own: NotRequired[dict[str, str]]
    """By rule, a byte a document, in base64: what the rule of its own language says of it (`rules.NONE`,
    `STAYS` or `GOES`), whatever the general threshold is."""


class Broken(TypedDict):
    """Documents that broke one rule or more."""

    documents: int
    bytes: int


class Quality(TypedDict):
    """The rules, and what they did."""

    judged: int
    any: Broken
    rules: list[RuleRow]
    together: list[list[int]]
    sample: Sample


class NearPair(TypedDict):
    """A removed document, the one that is kept instead, and where they differ."""

    gone: str
    kept: str
    similarity: float
    difference: list[list[str]]
    """Stretches of words: `same`, `kept` or `gone`, and the words."""


class NearDuplicates(TypedDict, total=False):
    """Near duplicates of the whole corpus; empty where they were not looked for."""

    sizes: dict[str, int]
    """Members of a group -> how many groups have so many."""
    similarity: list[int]
    examples: list[NearPair]
    recall: list[RecallRow]


class Report(CorpusFacts):
    """All figures of a corpus."""

    headstart: str
    recipe: str
    by: dict[str, dict[str, list[FunnelRow]]]
    """`domain` and `language` -> the largest of them -> what each stage left."""
    segmenter: NotRequired[str]
    """What told the words of scripts without spaces; older reports do not say."""
    removed_by_language: dict[str, dict[str, int]]
    """Language -> rule -> documents that it removed, of the largest languages."""
    quality: Quality
    examples: list[Example]
    near_duplicates: NearDuplicates
    found: Contamination


def read_report(folder: Path) -> Report:
    """The figures of a corpus.

    Raises:
        HeadstartError: its report is missing, damaged, or made by something else.
    """
    return read_json(folder / "report.json", Report)
