"""What became of each document: every reason for which one may go, and what the steps say of a task's.

The steps are apart so that each can run anywhere; `verdict` puts together what they found.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus import removed_spans
from headstart.corpus.filters import urls
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.work import Work, load

PAGES = "repeated pages"
EXACT, NEAR, MIX = "exact duplicates", "near duplicates", "mix"


def reasons(recipe: CorpusRecipe) -> list[tuple[str, str]]:
    """Every stage and rule that may remove a document, in the order of the stages.

    A verdict is a place in this list; the first stands for documents that stay.
    """
    quality = dict.fromkeys(name for rules in recipe.quality_rules() for name in rules.names())
    return [
        ("", ""),
        *((urls.BLOCKED, rule) for rule in urls.BLOCKS),
        ("extract", "no_main_text"),
        ("language", "unsure"),
        ("language", "other_language"),
        *(("quality", name) for name in quality),
        ("decontamination", "benchmark_text"),
        (PAGES, "same_address"),
        (PAGES, "host_is_full"),
        (EXACT, "same_text"),
        (NEAR, "similar_text"),
        *((stage, rule) for stage in removed_spans.STEPS for rule in ("nothing_left", "too_little_left")),
        (MIX, "over_share"),
    ]


def stages(recipe: CorpusRecipe) -> list[str]:
    """The stages in order, each once."""
    return list(dict.fromkeys(stage for stage, _ in reasons(recipe) if stage))


@dataclass(frozen=True)
class Verdict:
    """What became of a task's documents.

    Attributes:
        code: a place in `reasons`, 0 for those that stay.
        other, similarity: of duplicates, by their place: which document stays, and how alike they are.
        bytes, words: sizes of the texts as they are now, or were when they went.
        cut: by stage, the bytes and words that it cut out of each document that stays, `[2, N]`.
        rest: words that are left of those of which too little is left, by place.
    """

    code: np.ndarray
    other: dict[int, str]
    similarity: dict[int, float]
    bytes: np.ndarray
    words: np.ndarray
    cut: dict[str, np.ndarray]
    rest: dict[int, int]


def verdict(work: Work, task: int) -> Verdict:
    """What the steps that have run say of a task's documents."""
    places = {reason: place for place, reason in enumerate(reasons(work.recipe))}
    code = np.array(load(work.path("judged", task)))
    compared = pq.read_table(work.path("compared", task, "parquet")).to_pydict()
    for place, stage in zip(compared["place"], compared["stage"], strict=True):
        code[place] = places[stage, "same_text" if stage == EXACT else "similar_text"]
    table = work.columns(task, "bytes", "words")
    sizes = np.stack([table["bytes"].to_numpy(), table["words"].to_numpy()]).astype(np.int64)  # [2, N]
    cut: dict[str, np.ndarray] = {}
    rest: dict[int, int] = {}
    for stage, rows in removed_spans.changed(work, task, "place", "rule", "bytes", "words"):
        here, rules = np.array(rows["place"], np.int64), np.array(rows["rule"], object)
        gone = rules != ""
        code[here[gone]] = [places[stage, rule] for rule in rules[gone]]
        rest.update(zip(here[gone].tolist(), np.array(rows["words"])[gone].tolist(), strict=True))
        left = here[~gone]
        now = np.array([rows["bytes"], rows["words"]], np.int64)[:, ~gone]
        cut[stage] = np.zeros_like(sizes)
        cut[stage][:, left] = sizes[:, left] - now
        sizes[:, left] = now
    other = dict(zip(compared["place"], compared["kept"], strict=True))
    alike = dict(zip(compared["place"], compared["similarity"], strict=True))
    return Verdict(code, other, alike, sizes[0], sizes[1], cut, rest)


def describe(work: Work, task: int, decided: Verdict) -> tuple[list[str], list[str], list[str]]:
    """Stage, rule and detail of each removed document of a task, in their order."""
    recipe, known = work.recipe, reasons(work.recipe)
    gone = np.flatnonzero(decided.code)
    for_all, for_pages = recipe.quality_rules()
    names = ["url", "language", "language_score", "domain", *recipe.signals]
    table = work.columns(task, *names).take(pa.array(gone))
    columns = {name: table[name].to_pylist() for name in names}
    contaminated = work.path("contaminated", task)
    items = work.noted("benchmarks")["items"] if contaminated.exists() else []
    hits = {int(hit["place"]): items[int(hit["item"])]["name"] for hit in load(contaminated)} if items else {}
    details = []
    for row, place in enumerate(gone.tolist()):
        stage, rule = known[decided.code[place]]
        if stage == "quality":
            own = for_all.of(rule, columns["language"][row]) or for_pages.of(rule, columns["language"][row])
            assert own is not None
            detail = own.detail(columns[own.signal][row])
        elif stage == urls.BLOCKED:
            detail = f"{columns['url'][row]} is on a list"
        elif rule == "same_address":
            detail = f"another document has {columns['url'][row]}"
        elif rule == "host_is_full":
            detail = f"{urls.host(columns['url'][row])} has more than {recipe.urls.per_host} pages"
        elif rule == "unsure":
            language, score = columns["language"][row], columns["language_score"][row]
            least = float(least_scores(recipe, np.array([language]))[0])
            detail = f"{language} with score {score:.2f} < {least:g}"
        elif rule == "other_language":
            detail = f"language = {columns['language'][row]}"
        elif stage == "decontamination":
            detail = f"shares words with {hits[place]}"
        elif stage == EXACT:
            detail = f"same text as {decided.other[place]}"
        elif stage == NEAR:
            detail = f"near duplicate of {decided.other[place]}, similarity {decided.similarity[place]:.2f}"
        elif rule == "nothing_left":
            detail = "all of it is repeated over the corpus"
        elif rule == "too_little_left":
            detail = f"{decided.rest[place]} words are left of it"
        elif stage == MIX:
            detail = f"{recipe.mix.by} {columns[recipe.mix.by][row]} is over its share"
        else:
            detail = "the page has no main text"
        details.append(detail)
    return [known[c][0] for c in decided.code[gone]], [known[c][1] for c in decided.code[gone]], details


def least_scores(recipe: CorpusRecipe, language: np.ndarray) -> np.ndarray:
    """How sure each document's language has to be."""
    own = {code: one.score for code, one in recipe.by_language.items() if one.score is not None}
    return np.array([own.get(code, recipe.language_score) for code in language.tolist()], np.float32)


def most_common(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
