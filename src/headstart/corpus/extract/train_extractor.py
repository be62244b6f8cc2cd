"""Training the line classifier on pages whose main text is known."""

import gzip
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import orjson

from headstart.corpus.extract.blocks import Page, read_page
from headstart.corpus.extract.line_classifier import LineClassifier, sigmoid
from headstart.corpus.extract.line_features import (
    NameWeights,
    context_features,
    line_features,
    surroundings,
    words_of_names,
)
from headstart.corpus.extract.oblivious_trees import boost
from headstart.errors import HeadstartError

FOLDS = 4
LINES_PER_PAGE = 250  # drawn anew for each round: more lines of one page say little more
TREES = 100  # of each round
RUN = 3  # words in a row that page and wanted text share, at least, to be the same

_WORD = re.compile(r"\w+")


@dataclass
class LabelledPage:
    """A page with, for each of its L lines, what part of it is main text and how much the line counts."""

    page: Page
    site: str
    label: np.ndarray  # [L] from 0 to 1
    weight: np.ndarray  # [L] 0: nothing is known
    text: str | None  # the wanted text, where it is known

    @property
    def fold(self) -> int:
        """Pages of one site are all in one fold."""
        return zlib.crc32(self.site.encode()) % FOLDS


def read_labelled(paths: Sequence[Path]) -> list[LabelledPage]:
    """Pages from JSON lines, plain or gzip, with `html`, `url` and the wanted `text`.

    Instead of the text there may be lists of pieces: `with` of wanted ones, `without` of unwanted ones.

    Raises:
        HeadstartError: a file cannot be read, or a line is something else.
    """
    pages = []
    for path in paths:
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except OSError as error:
            raise HeadstartError(f"cannot read {path}: {error.strerror or error}") from None
        for number, line in enumerate(content.splitlines(), 1):
            try:
                row = orjson.loads(line)
                pages.append(
                    label(row["html"], row.get("url"), row.get("text"), row.get("with"), row.get("without"))
                )
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                raise HeadstartError(
                    f"{path}:{number} is no labelled page: it needs `html` and `text` (or `with`, `without`)"
                ) from None
    return [page for page in pages if page.weight.any()]


def label(
    html: str,
    url: str | None,
    text: str | None,
    wanted: list[str] | None = None,
    unwanted: list[str] | None = None,
) -> LabelledPage:
    """A page's lines beside the text that is wanted of it, or beside pieces that are and that are not."""
    page = read_page(html)
    host = urlsplit(url or "").hostname or str(zlib.crc32(html.encode("utf-8", "replace")))
    site = ".".join(host.split(".")[-2:] if len(host.split(".")[-2:][0]) > 3 else host.split(".")[-3:])
    if text is not None:
        of_lines = [_WORD.findall(line.lower()) for line in page.lines]
        gold = _WORD.findall(text.lower())
        sizes = np.array([len(words) for words in of_lines], np.float64)
        weight = (sizes + 0.5) / (len(gold) + sizes.sum() / 4 + 20)
        return LabelledPage(page, site, _covered(of_lines, gold), weight / max(weight.sum(), 1) ** 0.5, text)
    labels, weight = np.zeros(len(page.lines)), np.zeros(len(page.lines))
    for pieces, value in ((unwanted or [], 0.0), (wanted or [], 1.0)):
        for piece in pieces:
            found = [at for at, line in enumerate(page.lines) if " ".join(piece.split()) in line]
            if value or len(found) <= 3:
                labels[found], weight[found] = value, 0.12
    return LabelledPage(page, site, labels, weight, None)


def _covered(of_lines: list[list[str]], gold: list[str]) -> np.ndarray:
    """What share of each line's words is part of the wanted text, each word of which is found once.

    The longest stretches that both have are laid side by side first (greedy string tiling, Wise 1993). So a
    heading is the one above its paragraph, not the same words in a table of contents.
    """
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, run in enumerate(zip(*(gold[start:] for start in range(RUN)), strict=False)):
        places[run].append(place)
    flat = [word for words in of_lines for word in words]
    stretches: list[list[int]] = []  # where it begins on the page and in the text, and its length in words
    before: dict[int, list[int]] = {}  # by the place in the text of the last run in it
    for at, run in enumerate(zip(*(flat[start:] for start in range(RUN)), strict=False)):
        now = {}
        for place in places.get(run, ()):
            if stretch := before.get(place - 1):
                stretch[2] += 1
            else:
                stretches.append(stretch := [at, place, RUN])
            now[place] = stretch
        before = now
    covered, taken = np.zeros(len(flat), bool), np.zeros(len(gold), bool)
    for at, place, length in sorted(stretches, key=lambda stretch: -stretch[2]):
        here, there = covered[at : at + length], taken[place : place + length]
        free = ~(here | there)
        if free.sum() >= RUN:
            here |= free
            there |= free
    ends = np.cumsum([0, *map(len, of_lines)])
    total = np.concatenate(([0.0], np.cumsum(covered)))
    return (total[ends[1:]] - total[ends[:-1]]) / np.maximum(np.diff(ends), 1)


def name_weights(
    pages: Sequence[LabelledPage], least_sites: int = 5, prior_pages: float = 4.0
) -> NameWeights:
    """For each word in the names of elements: the log-odds that they hold main text, less those of all text.

    A page counts once for each word; `prior_pages` pages of the average are added to each.
    """
    shares: dict[str, list[float]] = defaultdict(list)
    sites: dict[str, set[str]] = defaultdict(set)
    overall = []
    for one in pages:
        weight = np.sqrt(one.weight)
        known = np.concatenate(([0.0], np.cumsum(weight)))
        main = np.concatenate(([0.0], np.cumsum(weight * one.label)))
        overall.append(main[-1] / known[-1])
        held = (known[one.page.last] - known[one.page.first]).tolist()
        held_main = (main[one.page.last] - main[one.page.first]).tolist()
        of_name: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for element, words in enumerate(words_of_names(one.page.attributes)):
            for name in set(words) if held[element] > 0 else ():
                of_name[name][0] += held[element]
                of_name[name][1] += held_main[element]
        for name, (all_text, main_text) in of_name.items():
            shares[name].append(main_text / all_text)
            sites[name].add(one.site)
    mean = sum(overall) / len(overall)

    def log_odds(share: float) -> float:
        return math.log(share / (1 - share))

    return NameWeights(
        {
            name: round(
                log_odds((sum(of) + prior_pages * mean) / (len(of) + prior_pages)) - log_odds(mean), 2
            )
            for name, of in sorted(shares.items())
            if len(sites[name]) >= least_sites
        }
    )


def train(pages: Sequence[LabelledPage]) -> LineClassifier:
    """Both rounds. The second learns from what the first says of pages that it was not trained on.

    Raises:
        HeadstartError: the pages are of too few sites to hold some out.
    """
    everything = range(len(pages))
    folds = [
        fold for number in range(FOLDS) if (fold := [at for at in everything if pages[at].fold == number])
    ]
    if len(folds) < 2:
        raise HeadstartError(
            f"{len(pages)} labelled pages are of too few sites; give pages of a dozen or more"
        )
    around = [surroundings(one.page) for one in pages]
    rows: list[np.ndarray] = [np.zeros(0)] * len(pages)
    chance: list[np.ndarray] = [np.zeros(0)] * len(pages)
    others_of = [sorted(set(everything) - set(fold)) for fold in folds]
    for fold, others in zip(folds, others_of, strict=True):
        weights = name_weights([pages[at] for at in others])
        for at in fold:
            rows[at] = line_features(pages[at].page, around[at], weights)
    for fold, others in zip(folds, others_of, strict=True):
        trees = boost(*_drawn(pages, rows, others), TREES)
        for at in fold:
            chance[at] = sigmoid(trees.log_odds(rows[at]))
    first = boost(*_drawn(pages, rows, everything), TREES)
    rows = [
        np.concatenate((rows[at], context_features(pages[at].page, around[at], chance[at])))
        for at in everything
    ]
    second = boost(*_drawn(pages, rows, everything), TREES, seed=1)
    return LineClassifier(name_weights(pages), first, second)


def held_out_scores(pages: Sequence[LabelledPage]) -> dict[str, float]:
    """How well a classifier does on the sites of one fold that was trained without them.

    Word F1, averaged over pages, where the wanted text is known; F1 over lines where only pieces are.
    """
    fold = min((one.fold for one in pages), default=0)
    classifier = train([one for one in pages if one.fold != fold])
    scores: dict[str, list[float]] = {"word F1": [], "pieces' F1": []}
    right = kept = wanted = 0.0
    for one in pages:
        if one.fold != fold:
            continue
        keep = np.zeros(len(one.label), bool)
        keep[classifier.main_lines(one.page)] = True
        if one.text is not None:
            found = "\n".join(one.page.lines[at] for at in np.flatnonzero(keep))
            scores["word F1"].append(word_f1(found, one.text))
        else:
            known = one.weight > 0
            right += (keep * one.label)[known].sum()
            kept += keep[known].sum()
            wanted += one.label[known].sum()
    if kept + wanted:
        scores["pieces' F1"].append(2 * right / (kept + wanted))
    return {name: float(np.mean(values)) for name, values in scores.items() if values}


def _drawn(
    pages: Sequence[LabelledPage], rows: list[np.ndarray], which: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [F, N], labels [N] and weights [N] of lines drawn from some of the pages."""
    draw = np.random.default_rng(0)
    drawn, labels, weights = [], [], []
    for at in which:
        known = np.flatnonzero(pages[at].weight)
        some = draw.permutation(known)[:LINES_PER_PAGE]
        drawn.append(rows[at][:, some])
        labels.append(pages[at].label[some])
        weights.append(pages[at].weight[some] * (len(known) / len(some)))
    return np.concatenate(drawn, 1), np.concatenate(labels), np.concatenate(weights)


def word_f1(found: str, wanted: str) -> float:
    """F1 over words, each as often as it occurs."""
    first, second = Counter(_WORD.findall(found.lower())), Counter(_WORD.findall(wanted.lower()))
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0
