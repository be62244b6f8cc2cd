"""What is known of a line of a page: its characters, its place among the elements, its surroundings.

Nothing here depends on a language. Everything is computed for the L lines of a page at once, a row a feature.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from headstart.corpus.extract.blocks import FLAG, FLAGS, HEADING, TAG, Page

Rows = list[np.ndarray]  # each a feature [L], or several [n, L]

_QUOTED = (' class="', ' id="', ' role="')  # as nearly all pages write them
_OTHERWISE = re.compile(r"\sclass\s*=\s*['\"]?([^\"'>]*)", re.IGNORECASE)
_WORDS = re.compile(r"[a-z][a-z]++|[A-Z](?:[a-z][a-z]++|[A-Z][A-Z]++)|\n")
_LONGEST_NAME = 200  # characters; what is longer is generated

_LISTED, _MAIN = FLAG["list"] | FLAG["table"], FLAG["main"] | FLAG["article"]

RUNNING = 80  # characters outside links that make a line running text
SURROUNDING = 4  # elements around a line that are looked at

# Characters by what they say of a line. Code points from 0x2E80 on are of scripts without spaces.
_LETTER, _UPPER, _DIGIT, _SPACE, _STOP, _COMMA, _MARK, _WIDE = range(8)
_WIDE_FROM = 0x2E80


def _character_table() -> np.ndarray:
    table = np.full(_WIDE_FROM + 1, _MARK, np.uint8)
    for point in range(_WIDE_FROM):
        character = chr(point)
        if character.isupper():
            table[point] = _UPPER
        elif character.isalpha() or 0x300 <= point < 0x2000:  # vowel signs, too
            table[point] = _LETTER
        elif character.isdigit():
            table[point] = _DIGIT
        elif character.isspace():
            table[point] = _SPACE
    table[[ord(stop) for stop in ".!?…؟।"]] = _STOP
    table[[ord(comma) for comma in ",;،"]] = _COMMA
    table[_WIDE_FROM] = _WIDE
    return table


_TABLE = _character_table()


def named(attributes: str) -> tuple[str, ...]:
    """An element's classes first, then its id and its role, where it has them."""
    found = []
    for key in _QUOTED:
        if (at := attributes.find(key)) >= 0:
            at += len(key)
            end = attributes.find('"', at, at + _LONGEST_NAME)
            found.append(attributes[at : end if end >= 0 else at + _LONGEST_NAME])
        elif not found:
            other = _OTHERWISE.search(attributes)
            found.append(other[1][:_LONGEST_NAME] if other else "")
    return tuple(found)


def _words(names: Iterable[tuple[str, ...]]) -> list[str]:
    """The words of which names are made, as they are written; a line's end before those of each.

    All are looked for in one go, which is several times faster.
    """
    found: list[str] = _WORDS.findall("\n".join(["", *(" ".join(one).replace("\n", " ") for one in names)]))
    return found


def words_of_names(attributes: list[str]) -> list[list[str]]:
    """The words of which each element's names are made, in small letters."""
    words: list[list[str]] = []
    for word in _words(map(named, attributes)):
        if word == "\n":
            words.append([])
        else:
            words[-1].append(word.lower())
    return words


@dataclass(frozen=True)
class Names:
    """The names of a page's elements: N distinct ones, and which of them each of the E elements has."""

    distinct: list[tuple[str, ...]]
    of_element: np.ndarray  # [E]


def names_of(page: Page) -> Names:
    number = {attributes: at for at, attributes in enumerate(dict.fromkeys(page.attributes))}
    of_element = np.fromiter(map(number.__getitem__, page.attributes), np.int64, len(page.attributes))
    return Names([named(attributes) for attributes in number], of_element)


class NameWeights:
    """What the names of an element say: for each word the log-odds of main text, less those of all text."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self._as_written = {
            written: weight
            for word, weight in weights.items()
            for written in (word, word.capitalize(), word.upper())
        } | {"\n": math.nan}

    def of(self, page: Page, names: Names) -> np.ndarray:
        """[4, E]: an element's own weight; with its ancestors' their sum, the least and the greatest."""
        own = self._sums(names.distinct)[names.of_element]
        total, least, most = own, np.minimum(own, 0), np.maximum(own, 0)  # the page has no names
        outer = page.parent
        while outer.any():  # each round takes in as many ancestors again
            total = total + total[outer]
            least = np.minimum(least, least[outer])
            most = np.maximum(most, most[outer])
            outer = outer[outer]
        return np.array([own, total, least, most])

    def _sums(self, names: list[tuple[str, ...]]) -> np.ndarray:
        """[N] the weight of the words of each."""
        words = _words(names)
        weights = np.fromiter(map(self._as_written.get, words, repeat(0.0)), np.float64, len(words))
        starts = np.flatnonzero(np.isnan(weights))
        weights[starts] = 0
        return np.add.reduceat(weights, starts)


def line_features(page: Page, around: np.ndarray, weights: NameWeights) -> np.ndarray:
    """[F, L] float32. `around` are the line's `surroundings`."""
    lines = len(page.lines)
    element = page.element
    counts, ends = _characters(page.lines)
    size = counts.sum(0)
    words = counts[_SPACE] + counts[_WIDE] + 1
    unlinked = size * (1 - page.linked)
    running = unlinked * ((unlinked >= RUNNING) & (page.linked < 0.4))
    sums = np.zeros((4, lines + 1))  # up to each line
    np.cumsum([size, unlinked, running, counts[_STOP]], axis=1, out=sums[:, 1:])
    totals = sums[:, -1] + 1
    names = names_of(page)
    named = weights.of(page, names)
    flags = page.flags[element]

    rows: Rows = [
        np.log1p(size),
        size / words,
        page.linked,
        np.log1p(page.links),
        np.log1p(unlinked),
        np.log1p(running),
        counts[[_UPPER, _DIGIT, _MARK]] / size,
        counts[_STOP],
        counts[[_COMMA, _STOP]] / words,
        ends,
        page.tag[element],
        page.depth[element],
        flags >> np.arange(len(FLAGS))[:, None] & 1,
        named.take(element, 1),
    ]
    rows += _place(sums, running)
    rows += _title(page, words)
    rows += _neighbours(page, rows[0], counts[_STOP], named[2], sums)
    rows += _held(page, around, names, named, sums)
    of_page = [
        np.log(totals[0]),
        *(totals[1:] / totals[0]),
        np.log1p(lines),
        (page.links > 0).mean(),
        np.log1p((running > 0).sum()),
        *(size[flags & mask != 0].sum() / totals[0] for mask in (_LISTED, _MAIN)),
        *(np.log1p((page.tag == TAG[name]).sum()) for name in ("article", "p", "h1")),
    ]
    rows.append(np.broadcast_to(np.array(of_page)[:, None], (len(of_page), lines)))
    return _matrix(rows)


def _matrix(rows: Rows) -> np.ndarray:
    return np.concatenate(
        [row if row.ndim == 2 else row[None] for row in rows], dtype=np.float32, casting="unsafe"
    )


def _characters(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """[8, L] how many characters of each kind; [2, L] the kinds of the first and the last one."""
    points = np.frombuffer("\n".join([*lines, ""]).encode("utf-32-le", "replace"), np.uint32)
    kinds = _TABLE.take(points, mode="clip")
    sizes = np.fromiter(map(len, lines), np.int64, len(lines)) + 1
    stops = sizes.cumsum()
    of_line = np.repeat(np.arange(0, 8 * len(lines), 8), sizes)
    counts = np.bincount(of_line + kinds, minlength=8 * len(lines)).reshape(-1, 8).T.astype(np.float64)
    counts[_SPACE] -= 1  # the line's end
    return counts, kinds[[stops - sizes, stops - 2]].astype(np.float64)


def _place(sums: np.ndarray, running: np.ndarray) -> Rows:
    """How much of the page comes before and after a line."""
    lines = len(running)
    number = np.arange(lines)
    before = sums[:, :-1] / (sums[:, -1:] + 1)
    return [
        number / lines,
        before[0],
        before[2],
        1 - before[2] - running / (sums[2, -1] + 1),
        np.log1p(number),
        np.log1p(lines - number),
    ]


def _title(page: Page, words: np.ndarray) -> Rows:
    """How far a line lies behind the first h1; a heading's words from the title; how often it is there."""
    lines = len(page.lines)
    h1 = np.flatnonzero(page.tag[page.element] == TAG["h1"])
    behind = (np.arange(lines) - h1[0]) / lines if len(h1) else np.full(lines, -2.0)
    title = set(page.title.lower().split())
    shared = np.zeros(lines)
    headings = page.flags[page.element] & HEADING
    for at in np.flatnonzero(headings).tolist() if title else ():
        mine = page.lines[at].lower().split()
        shared[at] = len(title.intersection(mine)) / len(mine)
    times = Counter(page.lines)
    repeated = np.fromiter(map(times.__getitem__, page.lines), np.float64, lines)
    return [behind, shared, shared * words / (len(title) + 1), repeated]


def _neighbours(page: Page, size: np.ndarray, stops: np.ndarray, least: np.ndarray, sums: np.ndarray) -> Rows:
    """The lines before and after, and means over some lines around."""
    lines = len(page.lines)
    reach = 3
    tag = page.tag[page.element]
    one = np.array([size, page.linked, stops, least[page.element], tag, page.element])
    padded = np.full((len(one), reach + lines + reach), -1.0)
    padded[:, reach:-reach] = one
    rows: Rows = []
    for offset in (-3, -2, -1, 1, 2, 3):
        there = padded[:, reach + offset : reach + offset + lines]
        rows += [there[:4], there[4:] == one[4:]] if abs(offset) == 1 else [there[:2]]
    number = np.arange(lines)
    for reach in (4, 12):
        low, high = np.maximum(number - reach, 0), np.minimum(number + reach + 1, lines)
        around = sums.take(high, 1) - sums.take(low, 1)
        rows += [np.log1p(around[2] / (high - low)), around[1] / around[0], around[3] / (high - low)]
    return rows


def surroundings(page: Page) -> np.ndarray:
    """[SURROUNDING, L] the elements around a line, outwards, each with more lines than the last."""
    held = page.last - page.first
    outermost = np.where(held[page.parent] == held, page.parent, np.arange(len(held)))
    for _ in range(3):  # past eight parents that hold the same lines
        outermost = outermost[outermost]
    outer = page.parent[outermost]
    around = [np.where(held[page.element] > 1, page.element, outer[page.element])]
    while len(around) < SURROUNDING:
        around.append(outer[around[-1]])
    return np.array(around)


def _held(page: Page, around: np.ndarray, names: Names, named: np.ndarray, sums: np.ndarray) -> Rows:
    """What the elements around a line hold, and what they are."""
    number = np.arange(len(page.lines))
    totals = sums[:, -1] + 1
    held = sums.take(page.last, 1) - sums.take(page.first, 1)  # [4, E]
    held_lines = (page.last - page.first).astype(np.float64)
    many = held_lines + 1e-9
    alike = np.log1p(_alike(page, names))
    of_element = np.array(
        [
            np.log1p(held_lines),
            held[0] / totals[0],
            1 - held[1] / (held[0] + 1),
            held[2] / (held[0] + 1),
            held[2] / totals[2],
            np.log1p(held[0] / many),
            held[3] / many,
            named[0],
            named[2],
            alike,
            page.tag,
        ]
    )
    rows: Rows = [alike[page.element]]
    for at in around:
        rows += [of_element.take(at, 1), (number - page.first[at]) / many[at]]
    # The innermost element that holds most of the page's running text.
    for share in (0.4, 0.6, 0.8, 0.95):
        main = np.flatnonzero(held[2] >= share * (totals[2] - 1))[-1] if totals[2] > 1 else 0
        inside = (number >= page.first[main]) & (number < page.last[main])
        rows += [
            np.where(inside, held[0, main] / totals[0], -1.0),
            (page.depth[page.element] - page.depth[main]) * inside,
        ]
    return rows


def _alike(page: Page, names: Names) -> np.ndarray:
    """[E] how many children of an element's parent have its tag and classes."""
    number: dict[str, int] = {}
    classes = np.array([number.setdefault(name[0], len(number)) for name in names.distinct])
    kinds = (page.parent * len(number) + classes[names.of_element]) * len(TAG) + page.tag
    in_order = np.sort(kinds)
    return in_order.searchsorted(kinds, "right") - in_order.searchsorted(kinds)


def context_features(page: Page, around: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """[C, L] float32: what the chance [L] of all lines to be main text says of each again."""
    lines = len(page.lines)
    size = np.fromiter(map(len, page.lines), np.float64, lines)
    sums = np.zeros((2, lines + 1))
    np.cumsum([size, size * chance], axis=1, out=sums[:, 1:])
    number = np.arange(lines)
    padded = np.zeros(2 + lines + 2)
    padded[2:-2] = chance
    parts = []  # of the page: from a line, to the line behind
    for reach in (3, 8, 20):
        parts.append((np.maximum(number - reach, 0), number))
        parts.append((number + 1, np.minimum(number + reach + 1, lines)))
    parts += [(page.first[at], page.last[at]) for at in around]
    low, high = np.array(parts).transpose(1, 0, 2)
    part = sums.take(high, 1) - sums.take(low, 1)
    whole = sums[:, -1]
    of_page = np.array([(whole[1] + 0.1) / (whole[0] + 1), np.log1p(whole[1]), chance.max()])
    return _matrix(
        [
            chance,
            *(padded[2 + offset : 2 + offset + lines] for offset in (-2, -1, 1, 2)),
            (part[1] + 0.1) / (part[0] + 1),
            np.broadcast_to(of_page[:, None], (3, lines)),
            sums[1, :-1] / (whole[1] + 1),
            chance * size / (whole[1] + 1),
        ]
    )
