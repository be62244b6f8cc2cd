"""Translations and summaries against the ones that people wrote: BLEU, chrF and ROUGE.

BLEU and chrF run from 0 to 100, as they are always quoted, and are computed over the whole corpus; ROUGE
from 0 to 1, the mean over texts. `references` holds for every text one or more.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, divided, from_sums, mean

References = Sequence[Sequence[str]]
ORDERS = 4
CHARACTERS, BETA = 6, 2

# NIST's mteval-v13a: signs stand alone; full stops and commas unless between digits; hyphens behind digits.
_SIGN = re.compile(r"([!-&(-+/:-@\[-`{-~])")
_STOP_BEHIND = re.compile(r"([^0-9])([.,])")
_STOP_BEFORE = re.compile(r"([.,])([^0-9])")
_HYPHEN = re.compile(r"([0-9])(-)")
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}


def bleu(references: References, predicted: Sequence[str]) -> Measurement:
    """BLEU (Papineni et al. 2002), case and all, in the words of `mteval-v13a`.

    What sacrebleu signs as `case:mixed|eff:no|tok:13a|smooth:exp` (Post 2018): each order without a match
    counts half as much as the one before (Chen & Cherry 2014, method 3).
    """
    rows = np.zeros((len(predicted), 2 + 2 * ORDERS))  # written, wanted, matches and n-grams of each order
    for row, (ways, text) in enumerate(zip(references, predicted, strict=True)):
        words, right = bleu_words(text), [bleu_words(way) for way in ways]
        nearest = min((abs(len(words) - len(way)), len(way)) for way in right)[1]
        rows[row, :2] = len(words), nearest
        for order in range(1, ORDERS + 1):
            own, allowed = ngrams(words, order), Counter[Hashable]()
            for way in right:
                allowed |= ngrams(way, order)
            rows[row, 2 * order : 2 * order + 2] = (own & allowed).total(), own.total()
    return from_sums("BLEU", rows, _bleu)


def _bleu(sums: np.ndarray) -> np.ndarray:
    written, wanted = sums[:, 0], sums[:, 1]
    matches, grams = sums[:, 2::2], sums[:, 3::2]  # [R, orders]
    missed = 2.0 ** np.cumsum((matches == 0) & (grams > 0), axis=1)
    precision = divided(np.where(matches > 0, matches, 1 / missed), grams)
    something = (matches > 0).any(1) & (grams > 0).all(1)
    logs = np.log(precision, out=np.zeros_like(precision), where=precision > 0).mean(1)
    brevity = np.exp(np.minimum(0, 1 - divided(wanted, written)))
    return np.where(something, 100 * brevity * np.exp(logs), 0.0)


def bleu_words(text: str) -> list[str]:
    """Words as `mteval-v13a` cuts them."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for name, sign in _ENTITIES.items():
        text = text.replace(name, sign)
    text = _SIGN.sub(r" \1 ", f" {text} ")
    text = _STOP_BEFORE.sub(r" \1 \2", _STOP_BEHIND.sub(r"\1 \2 ", text))
    return _HYPHEN.sub(r"\1 \2 ", text).split()


def chrf(references: References, predicted: Sequence[str]) -> Measurement:
    """chrF2 (Popović 2015): F of character n-grams up to 6, recall twice as important, blanks left out.

    sacrebleu's `nc:6|nw:0|space:no`. Of several references the one that fits best counts.
    """
    rows = np.zeros((len(predicted), 3 * CHARACTERS))
    for row, (ways, text) in enumerate(zip(references, predicted, strict=True)):
        own = [ngrams("".join(text.split()), order) for order in range(1, CHARACTERS + 1)]
        against = np.array([_character_matches(own, way) for way in ways], dtype=np.float64)
        rows[row] = against[_chrf(against).argmax()]
    return from_sums("chrF", rows, _chrf)


def _character_matches(own: Sequence[Counter[Hashable]], reference: str) -> list[int]:
    """For each order the n-grams written, those of the reference, and those in both."""
    characters = "".join(reference.split())
    counts = []
    for order, grams in enumerate(own, 1):
        right = ngrams(characters, order)
        counts += [grams.total() if right else 0, right.total(), (grams & right).total()]
    return counts


def _chrf(sums: np.ndarray) -> np.ndarray:
    written, wanted, matches = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]  # [R, orders]
    counted = (written > 0) & (wanted > 0)
    orders = counted.sum(1)
    precision = divided((divided(matches, written) * counted).sum(1), orders)
    recall = divided((divided(matches, wanted) * counted).sum(1), orders)
    return 100 * divided((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)


def rouge_n(references: References, predicted: Sequence[str], order: int = 1) -> Measurement:
    """ROUGE-N (Lin 2004): mean F1 of shared n-grams of words."""

    def one(reference: str, text: str) -> float:
        right, own = ngrams(rouge_words(reference), order), ngrams(rouge_words(text), order)
        return _f1((right & own).total(), right.total(), own.total())

    return _best(f"ROUGE-{order}", references, predicted, one)


def rouge_l(references: References, predicted: Sequence[str]) -> Measurement:
    """ROUGE-L: mean F1 of the longest common subsequence of words."""

    def one(reference: str, text: str) -> float:
        right, own = rouge_words(reference), rouge_words(text)
        return _f1(_longest_common(right, own), len(right), len(own))

    return _best("ROUGE-L", references, predicted, one)


def rouge_lsum(references: References, predicted: Sequence[str]) -> Measurement:
    """ROUGE-Lsum: a line is a sentence; each true one is matched with all that were written together."""

    def one(reference: str, text: str) -> float:
        right, own = ([rouge_words(line) for line in side.split("\n") if line] for side in (reference, text))
        left = [Counter(word for line in side for word in line) for side in (right, own)]
        sizes = [counts.total() for counts in left]
        hits = 0
        for line in right:
            common = set().union(*(_common_places(line, other) for other in own))
            for word in (line[place] for place in sorted(common)):
                if left[0][word] > 0 and left[1][word] > 0:
                    hits += 1
                    left[0][word] -= 1
                    left[1][word] -= 1
        return _f1(hits, *sizes)

    return _best("ROUGE-Lsum", references, predicted, one)


def rouge_words(text: str) -> list[str]:
    """Runs of Latin letters and digits in small letters, without stemming; other alphabets have no words."""
    return re.findall(r"[a-z0-9]+", text.lower())


def ngrams(units: Sequence[Hashable], order: int) -> Counter[Hashable]:
    """How often each run of `order` units occurs."""
    return Counter(zip(*(units[start:] for start in range(order)), strict=False))


def _best(
    metric: str, references: References, predicted: Sequence[str], one: Callable[[str, str], float]
) -> Measurement:
    values = [max(one(way, text) for way in ways) for ways, text in zip(references, predicted, strict=True)]
    return mean(metric, values)


def _f1(shared: int, wanted: int, written: int) -> float:
    return 2 * shared / (wanted + written) if shared else 0.0


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence; a row of the table is the bits of one number (Hyyrö 2004)."""
    where: dict[str, int] = defaultdict(int)
    for place, word in enumerate(first):
        where[word] |= 1 << place
    all_ones = row = (1 << len(first)) - 1
    for word in second:
        match = row & where.get(word, 0)
        row = ((row + match) | (row - match)) & all_ones
    return len(first) - row.bit_count()


def _common_places(first: Sequence[str], second: Sequence[str]) -> set[int]:
    """Places in `first` of one longest common subsequence, the one found from the end."""
    table = [[0] * (len(second) + 1)]
    for word in first:
        above = table[-1]
        table.append([0])
        for column, other in enumerate(second):
            table[-1].append(
                above[column] + 1 if word == other else max(above[column + 1], table[-1][column])
            )
    found = set()
    row, column = len(first), len(second)
    while row and column:
        if first[row - 1] == second[column - 1]:
            row, column = row - 1, column - 1
            found.add(row)
        elif table[row][column - 1] > table[row - 1][column]:
            column -= 1
        else:
            row -= 1
    return found
