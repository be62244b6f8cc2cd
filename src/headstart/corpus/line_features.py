"""What is known of a line of a page: its characters, its place among the elements, its surroundings.

Nothing here depends on a language. Everything is computed for the L lines of a page at once, a row a feature.
"""

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from headstart.corpus.blocks import FLAGS, HEADING, TAG, Page

Rows = list[np.ndarray]

_QUOTED = (' class="', ' id="', ' role="')  # as nearly all pages write them
_OTHERWISE = re.compile(r"\sclass\s*=\s*['\"]?([^\"'>]*)", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}|\n")
_LONGEST_NAME = 200  # characters; what is longer is generated

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


@lru_cache(maxsize=20_000)
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


def words_of_names(attributes: list[str]) -> list[list[str]]:
    """The words of which each element's names are made, in small letters."""
    joined = "\n".join([" ".join(named(one)).replace("\n", " ") for one in attributes])
    words: list[list[str]] = [[]]
    for word in _WORDS.findall(joined):
        if word == "\n":
            words.append([])
        else:
            words[-1].append(word.lower())
    return words


class NameWeights:
    """What the names of an element say: for each word the log-odds of main text, less those of all text."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self._as_written = {
            written: weight
            for word, weight in weights.items()
            for written in (word, word.capitalize(), word.upper())
        }

    def of(self, page: Page) -> np.ndarray:
        """[4, E]: an element's own weight; with its ancestors' their sum, the least and the greatest."""
        distinct = list(dict.fromkeys(page.attributes))
        of_distinct = dict(zip(distinct, self._sums(distinct), strict=True))
        own = [of_distinct[attributes] for attributes in page.attributes]
        total, least, most = own[:], own[:], own[:]
        for element, parent in enumerate(page.parent.tolist()):
            if parent == element:
                continue
            value = own[element]
            total[element] = total[parent] + value
            if least[parent] < value:
                least[element] = least[parent]
            if most[parent] > value:
                most[element] = most[parent]
        return np.array([own, total, least, most])

    def _sums(self, attributes: list[str]) -> list[float]:
        """The weight of each element's words; all are looked up in one go, which is several times faster."""
        joined = "\n".join([" ".join(named(one)).replace("\n", " ") for one in attributes])
        weights, sums, total = self._as_written, [], 0.0
        for word in _WORDS.findall(joined):
            if word == "\n":
                sums.append(total)
                total = 0.0
            elif word in weights:
                total += weights[word]
        return [*sums, total]


def line_features(page: Page, around: np.ndarray, weights: NameWeights) -> np.ndarray:
    """[F, L] float32. `around` are the line's `surroundings`."""
    lines = len(page.lines)
    counts, ends = _characters(page.lines)
    size = counts.sum(0)
    words = counts[_SPACE] + counts[_WIDE] + 1
    unlinked = size * (1 - page.linked)
    running = unlinked * ((unlinked >= RUNNING) & (page.linked < 0.4))
    sums = np.zeros((4, lines + 1))  # up to each line
    np.cumsum([size, unlinked, running, counts[_STOP]], axis=1, out=sums[:, 1:])
    totals = sums[:, -1] + 1
    named = weights.of(page)
    depth = _depths(page)

    element = page.element
    flags = np.array([(page.flags >> bit) & 1 for bit in range(len(FLAGS))])
    rows: Rows = [
        np.log1p(size),
        size / words,
        page.linked,
        np.log1p(page.links),
        np.log1p(unlinked),
        np.log1p(running),
        *(counts[[_UPPER, _DIGIT, _MARK]] / size),
        counts[_STOP],
        *(counts[[_COMMA, _STOP]] / words),
        *ends,
        page.tag[element],
        depth[element],
        *flags[:, element],
        *named[:, element],
    ]
    rows += _place(sums, running)
    rows += _title(page, words)
    rows += _neighbours(page, rows[0], counts[_STOP], named[2], sums)
    rows += _held(page, around, depth, named, sums)
    in_lists, in_main = (
        np.dot(size, flags[[FLAGS.index(name) for name in pair]].max(0)[element])
        for pair in (("list", "table"), ("main", "article"))
    )
    of_page = [
        np.log(totals[0]),
        *(totals[1:] / totals[0]),
        np.log1p(lines),
        (page.links > 0).mean(),
        np.log1p((running > 0).sum()),
        in_lists / totals[0],
        in_main / totals[0],
        *(np.log1p((page.tag == TAG[name]).sum()) for name in ("article", "p", "h1")),
    ]
    rows += [np.full(lines, value) for value in of_page]
    return _matrix(rows)


def _matrix(rows: Rows) -> np.ndarray:
    matrix = np.empty((len(rows), len(rows[0])), np.float32)
    for number, row in enumerate(rows):
        matrix[number] = row
    return matrix


def _characters(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """[8, L] how many characters of each kind; [2, L] the kinds of the first and the last one."""
    points = np.frombuffer(("\n".join(lines) + "\n").encode("utf-32-le", "replace"), np.uint32)
    kinds = _TABLE[np.minimum(points, _WIDE_FROM)]
    sizes = np.array([len(line) + 1 for line in lines])
    stops = sizes.cumsum()
    of_line = np.repeat(np.arange(0, 8 * len(lines), 8), sizes)
    counts = np.bincount(of_line + kinds, minlength=8 * len(lines)).reshape(-1, 8).T.astype(np.float64)
    counts[_SPACE] -= 1  # the line's end
    return counts, kinds[[stops - sizes, stops - 2]].astype(np.float64)


def _depths(page: Page) -> np.ndarray:
    """[E] how many ancestors an element has."""
    depths = [0] * len(page.tag)
    for element, parent in enumerate(page.parent.tolist()):
        if parent != element:
            depths[element] = depths[parent] + 1
    return np.array(depths, np.float64)


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
    return [behind, shared, shared * words / (len(title) + 1), np.array([times[line] for line in page.lines])]


def _neighbours(page: Page, size: np.ndarray, stops: np.ndarray, least: np.ndarray, sums: np.ndarray) -> Rows:
    """The lines before and after, and means over some lines around."""
    lines = len(page.lines)
    reach = 3
    tag = page.tag[page.element]
    one = np.array([size, page.linked, stops, least[page.element], tag, page.element])
    padded = np.pad(one, ((0, 0), (reach, reach)), constant_values=-1)
    rows: Rows = []
    for offset in (-3, -2, -1, 1, 2, 3):
        there = padded[:, reach + offset : reach + offset + lines]
        rows += [there[0], there[1]]
        if abs(offset) == 1:
            rows += [there[2], there[3], there[4] == tag, there[5] == page.element]
    number = np.arange(lines)
    for reach in (4, 12):
        low, high = np.maximum(number - reach, 0), np.minimum(number + reach + 1, lines)
        around = sums[:, high] - sums[:, low]
        rows += [np.log1p(around[2] / (high - low)), around[1] / around[0], around[3] / (high - low)]
    return rows


def surroundings(page: Page) -> np.ndarray:
    """[SURROUNDING, L] the elements around a line, outwards, each with more lines than the last."""
    held = page.last - page.first
    outer = page.parent
    for _ in range(8):  # past parents that hold the same lines
        outer = np.where(held[outer] == held, page.parent[outer], outer)
    around = [np.where(held[page.element] > 1, page.element, outer[page.element])]
    while len(around) < SURROUNDING:
        around.append(outer[around[-1]])
    return np.array(around)


def _held(page: Page, around: np.ndarray, depth: np.ndarray, named: np.ndarray, sums: np.ndarray) -> Rows:
    """What the elements around a line hold, and what they are."""
    number = np.arange(len(page.lines))
    totals = sums[:, -1] + 1
    held = sums[:, page.last] - sums[:, page.first]  # [4, E]
    held_lines = (page.last - page.first).astype(np.float64)
    many = held_lines + 1e-9
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
            np.log1p(_alike(page)),
            page.tag,
        ]
    )
    rows: Rows = [of_element[9, page.element]]
    for at in around:
        rows += [*of_element[:, at], (number - page.first[at]) / many[at]]
    # The innermost element that holds most of the page's running text.
    for share in (0.4, 0.6, 0.8, 0.95):
        main = np.flatnonzero(held[2] >= share * (totals[2] - 1))[-1] if totals[2] > 1 else 0
        inside = (number >= page.first[main]) & (number < page.last[main])
        rows += [
            np.where(inside, held[0, main] / totals[0], -1.0),
            (depth[page.element] - depth[main]) * inside,
        ]
    return rows


def _alike(page: Page) -> np.ndarray:
    """[E] how many children of an element's parent have its tag and classes."""
    classes = [named(attributes)[0] if attributes else "" for attributes in page.attributes]
    kinds = list(zip(page.parent.tolist(), page.tag.tolist(), classes, strict=True))
    times = Counter(kinds)
    return np.array([times[kind] for kind in kinds], np.float64)


def context_features(page: Page, around: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """[C, L] float32: what the chance [L] of all lines to be main text says of each again."""
    lines = len(page.lines)
    size = np.array([len(line) for line in page.lines], np.float64)
    sums = np.zeros((2, lines + 1))
    np.cumsum([size, size * chance], axis=1, out=sums[:, 1:])
    number = np.arange(lines)

    def mean(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        part = sums[:, high] - sums[:, low]
        return (part[1] + 0.1) / (part[0] + 1)

    padded = np.pad(chance, 2)
    rows = [chance, *(padded[2 + offset : 2 + offset + lines] for offset in (-2, -1, 1, 2))]
    for reach in (3, 8, 20):
        low, high = np.maximum(number - reach, 0), np.minimum(number + reach + 1, lines)
        rows += [mean(low, number), mean(number + 1, high)]
    rows += [mean(page.first[at], page.last[at]) for at in around]
    whole = mean(np.array([0]), np.array([lines]))
    rows += [np.full(lines, value) for value in (whole[0], np.log1p(sums[1, -1]), chance.max())]
    rows += [sums[1, :-1] / (sums[1, -1] + 1), chance * size / (sums[1, -1] + 1)]
    return _matrix(rows)
