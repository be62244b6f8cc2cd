"""Groups of near duplicates: the connected components of their links, by rounds over files.

A file of links holds, for the documents with a key in one partition, the least document that each is
connected with there. A label is the least document that is known to be in a document's group. A round
takes for each label the least of those that it is linked to, replaces every label by its own label (which
doubles how far a label gets in a round), and looks for links whose ends have two labels. Once there is none,
all documents of a group have its least one as their label.

A step holds one file of links or one range of neighbouring documents, and opens files one after another.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.corpus.dedup.deduplicate import BEST, PAIR, best_of, components
from headstart.corpus.work import LABEL, Made, Step, Work, between, labelled, load, step

LINKS = "links"


@step("links gathered")
def bundle(work: Work, one: int) -> Made:
    """The links of a bundle of files, as if one partition had found them."""
    size = work.noted(f"files of a bundle of {LINKS}")
    rows = np.concatenate([load(path) for path in work.files(LINKS)[one * size : (one + 1) * size]])
    return labelled(*components(rows.view(np.int64).reshape(-1, 2)))


def hooked(number: str) -> Step:
    """The step of a round that takes for each label the least one that it is linked to."""
    before = int(number) - 1

    def least(work: Work, one: int) -> Made:
        span = work.span(one)
        found = np.full(len(span), np.iinfo(np.int64).max)
        earlier = [work.path(_labels(before), one)] if before else []
        for path in [*earlier, *(work.files(_hooks(before)) if before else work.keys(LINKS))]:
            rows = between([path], "document", LABEL, span)
            at = rows["document"] - span.start
            found[at] = np.minimum(found[at], rows["label"])
        linked = np.flatnonzero(found < np.iinfo(np.int64).max)
        return labelled(linked + span.start, found[linked])

    return Step(f"{__name__}:hooked:{number}", least, f"hooked {number}")


def labels(number: str) -> Step:
    """The step of a round that replaces every label by its own label."""

    def shortened(work: Work, one: int) -> Made:
        rows = load(work.path(f"hooked {number}", one))
        return labelled(rows["document"], work.looked_up(f"hooked {number}", rows["label"]))

    return Step(f"{__name__}:labels:{number}", shortened, _labels(int(number)))


def hooks(number: str) -> Step:
    """The step of a round that finds which labels the links of one file make one that still are two."""

    def two(work: Work, one: int) -> Made:
        rows = load(work.keys(LINKS)[one])
        ends = [work.looked_up(_labels(int(number)), rows[name]) for name in ("document", "label")]
        pairs = np.stack(ends, axis=1)
        nodes, least = components(pairs[pairs[:, 0] != pairs[:, 1]])
        return labelled(nodes[nodes != least], least[nodes != least])

    return Step(f"{__name__}:hooks:{number}", two, _hooks(int(number)))


def settled(work: Work, number: int) -> bool:
    """Whether after so many rounds every group has one label."""
    return not any(len(load(path)) for path in work.files(_hooks(number)))


def _labels(number: int) -> str:
    return f"labels {number}"


def _hooks(number: int) -> str:
    return f"hooks {number}"


# Of every group one document stays


@step("best")
def best(work: Work, one: int) -> Made:
    """For each label of a range's documents the one of greatest worth among these."""
    rows = load(work.path(_labels(work.rounds(LINKS)), one))
    return best_of(rows["label"], _worth(work, np.array(rows["document"])), rows["document"])


@step("stays")
def stays(work: Work, one: int) -> Made:
    """For each label in a range the document of greatest worth in its group."""
    span = work.span(one)
    worth, document = np.full(len(span), -np.inf), np.zeros(len(span), np.int64)
    for path in work.files("best"):  # in the order of their documents: of equal ones the first stays
        rows = between([path], "label", BEST, span)
        rows = rows[rows["worth"] > worth[rows["label"] - span.start]]
        worth[rows["label"] - span.start] = rows["worth"]
        document[rows["label"] - span.start] = rows["document"]
    found = np.flatnonzero(worth > -np.inf)
    return labelled(found + span.start, document[found])


@step("near")
def near(work: Work, one: int) -> Made:
    """The documents of a range in whose place another one of their group stays, as `PAIR`."""
    rows = load(work.path(_labels(work.rounds(LINKS)), one))
    kept = work.looked_up("stays", rows["label"])
    gone = kept != rows["document"]
    pairs = np.zeros(np.count_nonzero(gone), PAIR)
    pairs["gone"], pairs["kept"] = rows["document"][gone], kept[gone]
    return pairs


def _worth(work: Work, nodes: np.ndarray) -> np.ndarray:
    """What a copy is kept by: its length or its date; documents of earlier corpora before all others.

    Args:
        nodes: documents, ascending.
    """
    worth = np.full(len(nodes), np.inf)
    newest = work.recipe.near_duplicates.keep == "newest"
    at = np.searchsorted(nodes, work.starts)
    for task in np.flatnonzero(at[1:] > at[:-1]).tolist():
        places = nodes[at[task] : at[task + 1]] - work.starts[task]
        column = work.columns(task, "date" if newest else "bytes").column(0).take(pa.array(places))
        # ISO dates sort as text; their first 19 characters (to the second) as a number of 14 digits do too.
        digits = pc.replace_substring_regex(column, r"\D", "") if newest else column
        values = (
            [int((text or "0")[:14].ljust(14, "0")) for text in digits.to_pylist()]
            if newest
            else digits.to_numpy()
        )
        worth[at[task] : at[task + 1]] = values
    return worth
