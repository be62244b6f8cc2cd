"""Counted features that point into a context: which of its words begins and ends the answer to a question.

A word's features say how much of the question stands in its sentence and beside it, and what the word and its
neighbours look like: alone, and together with every word that the question has and the context lacks. Such
words ask ("who", "year", "many"), in any language. Two softmaxes over the words of a context, one for each
end of the answer, are fitted to them. Rajpurkar et al. 2016, section 5, rank whole spans by such features.

The rows of a context are its words, then `INSIDE` of a word, where an answer seldom begins or ends, and
`NOTHING`, which a question without an answer points at.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from headstart.tasks.examples import Answer, Pair, WordSequence
from headstart.tasks.kinds.spans import words_in

INSIDE, NOTHING = 0, 1
"""Rows behind those of the words."""
STEM = 6
"""Characters by which a word of the question is known again in the context, whatever its ending."""
BESIDE = (1, 3, 8)
"""Words on either side in which words of the question are looked for."""
STEPS = 60
"""Of L-BFGS; more change no answer."""
_SENTENCE_ENDS = frozenset(".?!。？！।؟")

Feature = tuple[str, float]


def rows_of(context: str) -> int:
    """How many rows a context has."""
    return len(words_in(context)) + 2


def asked_features(question: str, context: str) -> list[list[Feature]]:
    """The features of every row of a context that a question is asked of."""
    words, asked = words_in(context), [_stem(word) for word in words_in(question)]
    stems, sentences = [_stem(word) for word in words], _sentences(words)
    # In the order of the words, on which sums of fractions hang: sets have another one in every process.
    standing = list(dict.fromkeys(zip(stems, sentences, strict=True)))
    holding = Counter(stem for stem, _ in standing)  # sentences with a stem
    count = 1 + max(sentences, default=0)
    worth = {stem: math.log(1 + count / holding[stem]) for stem in dict.fromkeys(asked) if stem in holding}
    whole = sum(worth.values()) or 1.0
    matched = np.array([worth.get(stem, 0.0) for stem in stems]) / whole  # [words]
    told = np.zeros(count)
    for stem, sentence in standing:
        told[sentence] += worth.get(stem, 0.0) / whole
    best = float(told.max())
    rank = np.argsort(np.argsort(-told, kind="stable"))
    asking = [stem for stem in dict.fromkeys(asked) if stem not in holding]
    sums = np.concatenate([[0.0], np.cumsum(matched)])
    looks = ["#", "#", *map(_look, words), "#", "#"]
    lower = ["#", *(word.lower() for word in words), "#"]
    rows: list[list[Feature]] = []
    for place, sentence in enumerate(sentences):
        row: list[Feature] = [
            ("told", float(told[sentence])),
            ("told of most", float(told[sentence]) / (best or 1.0)),
            (f"rank {min(int(rank[sentence]), 3)}", 1.0),
            ("own", float(matched[place])),
            ("asked", float(matched[place] > 0)),
        ]
        for beside in BESIDE:
            row.append((f"before {beside}", float(sums[place] - sums[max(0, place - beside)])))
            after = sums[min(len(words), place + 1 + beside)] - sums[place + 1]
            row.append((f"after {beside}", float(after)))
        before2, before, look, after1, after2 = looks[place : place + 5]
        names = [
            f"0 {look}",
            f"-1 {before}",
            f"+1 {after1}",
            f"-1 0 {before} {look}",
            f"0 +1 {look} {after1}",
            f"-1 0 +1 {before} {look} {after1}",
            f"word {lower[place + 1]}",
            f"word -1 {lower[place]}",
            f"word +1 {lower[place + 2]}",
        ]
        row += [(name, 1.0) for name in (*names, f"-2 -1 {before2} {before}", f"+1 +2 {after1} {after2}")]
        row += [(f"{asks} & {name}", 1.0) for asks in asking for name in names[:5]]
        rows.append(row)
    nothing = [("nothing", 1.0), ("nothing told", best), *((f"{asks} & nothing", 1.0) for asks in asking)]
    return [*rows, [("inside", 1.0)], nothing]


def pointed(context: str, answers: Sequence[Answer]) -> tuple[int, int]:
    """The rows at which the first answer begins and ends."""
    words = words_in(context)
    if not answers:
        return len(words) + NOTHING, len(words) + NOTHING
    text, begin = answers[0]
    first, last = rows_at(words, np.array([[begin, begin + len(text)]]))[0]
    return int(first), int(last)


def rows_at(words: WordSequence, spans: np.ndarray) -> np.ndarray:
    """The rows of the words with which parts of a context begin and end, `[parts, 2]`.

    Args:
        spans: `[parts, 2]` the characters of each.
    """
    borders = np.array(words.spans, dtype=np.int64).reshape(-1, 2)
    rows = np.full(spans.shape, len(words) + INSIDE)
    for side in (0, 1):
        place = np.searchsorted(borders[:, side], spans[:, side])
        known = np.isin(spans[:, side], borders[:, side])
        rows[known, side] = place[known]
    return rows


def fit_pointers(
    inputs: Sequence[Pair], answers: Sequence[Sequence[Answer]], rows: csr_array, strength: float = 1.0
) -> np.ndarray:
    """Weights `[F, 2]` of the first and the last word of answers, by two softmaxes over the rows of each
    context. Where all questions have answers, no softmax holds `NOTHING`.

    Args:
        rows: `[rows of all contexts, F]`.
        strength: of the quadratic regularisation.
    """
    sizes = np.array([rows_of(context) for _, context in inputs])
    first = np.cumsum(sizes) - sizes
    true = np.array([pointed(c, its) for (_, c), its in zip(inputs, answers, strict=True)]) + first[:, None]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    if all(answers):
        taken = np.ones(rows.shape[0], bool)
        taken[first + sizes - 2 + NOTHING] = False
        rows, owner, sizes = csr_array(rows[taken]), owner[taken], sizes - 1
        true -= np.arange(len(sizes))[:, None]
        first = np.cumsum(sizes) - sizes
    turned = csr_array(rows.T)

    def loss_at(weights: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray]:
        scores = rows @ weights
        top = np.maximum.reduceat(scores, first)
        shares = np.exp(scores - top[owner])
        total = np.add.reduceat(shares, first)
        shares /= total[owner]
        loss = float((top + np.log(total) - scores[true]).sum())
        shares[true] -= 1
        return loss + strength / 2 * float(weights @ weights), turned @ shares + strength * weights

    found = [
        minimize(
            loss_at, np.zeros(rows.shape[1]), true[:, side], "L-BFGS-B", True, options={"maxiter": STEPS}
        ).x
        for side in (0, 1)
    ]
    return np.stack(found, 1)


def _stem(word: str) -> str:
    return word.lower()[:STEM]


def _look(word: str) -> str:
    """What a word looks like: short ones and signs as they are, numbers by their length."""
    if word[0].isdecimal():
        return f"0{min(len(word), 5)}"
    if len(word) < 4 or not word[0].isalnum():
        return word.lower() if not word[0].isupper() else "X"
    return "Xx" if word[0].isupper() and not word.isupper() else "X" if word[0].isupper() else "x"


def _sentences(words: WordSequence) -> list[int]:
    """The number of the sentence that each word belongs to."""
    found, sentence, end = [], 0, 0
    for number, (start, behind) in enumerate(words.spans):
        ended = (
            number > 0
            and words[number - 1] in _SENTENCE_ENDS
            and (start > end or not words[number - 1].isascii())
        )
        if ended or "\n" in words.text[end:start]:
            sentence += 1
        found.append(sentence)
        end = behind
    return found
