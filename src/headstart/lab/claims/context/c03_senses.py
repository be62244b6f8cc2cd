"""C03: does a contextual vector tell what a word is here, where a static one cannot?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import decoder, encoder
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec
from headstart.tokenizer.shards import is_heldout

OPEN = ("NOUN", "VERB", "ADJ")
LEAST = 3
"""Places of each of two tags that a word needs in both halves of the sentences."""
Tagged = tuple[list[list[str]], list[list[str]]]
"""Sentences, and the tags of their words."""

CLAIM = Claim(
    id="C03",
    chapter="context",
    title="a static vector cannot tell word senses apart, a contextual one can",
    statement="The vector of a word in its sentence tells whether it is a noun, a verb or an adjective "
    "there; a mean of the vectors around it tells less.",
    quantity="balanced percent right of the nearest centroid, over words that are tagged in two ways",
    lesson="That a word's one vector cannot tell its senses apart is so by construction and needs no "
    "measurement. The rival is the mean vector of the words around it, which is static too.",
    scale="Senses of one part of speech take labelled senses (Senseval, WordNet) and more text.",
    sources=(
        Source("Peters et al. 2018 (ELMo)", "arXiv 1802.05365, table 5", "67.4 and 69.0 by layer on senses"),
        Source(
            "Ethayarajh 2019",
            "arXiv 1909.00512",
            "a static vector explains under 5 % of a word's",
            "abstract",
        ),
    ),
    confounders=(
        "Senses are those that a part of speech tells apart: the samples have no finer labels.",
        "Balanced over tags: by plain accuracy a centroid loses to always saying the commoner one.",
        "Vectors are centred, for they all point one way.",
        "Centroids and the places that are asked are of other documents.",
        "The last layer is asked, not the best one, which would be chosen by its result.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=2, tokens=0.4e6),
    "full": Level(seeds=5, minutes=20, tokens=6e6, shape="S"),
}
RULE = Every(
    Gain("encoder.last layer above chance", 10.0, "points"),
    Gain("encoder.last layer - encoder.window", 3.0, "points"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual encoder and decoder."""
    return {"encoder": encoder(bench), "decoder": decoder(bench)}


def measure(bench: Bench) -> Numbers:
    """Balanced percent right of every layer and of the mean of the window; units: words."""
    import numpy as np

    from headstart.lab.measures.losses import model_of
    from headstart.lab.measures.probes import balanced, centroid_right, window_means, word_states
    from headstart.tokenizer.folder import open_tokenizer

    model, tokenizer = model_of(bench.run), open_tokenizer(bench.make(bench.tokens))
    parts = halves(bench.labelled("pos"))
    words = homographs(*parts)
    if not words:
        raise HeadstartError(
            "no word of the tagged sentences has two tags often enough in both halves; give more sentences"
        )
    sides = []
    for sentences, tags in parts:
        chosen = [n for n, one in enumerate(sentences) if any(word.lower() in words for word in one)]
        layers = word_states(model, tokenizer, [sentences[n] for n in chosen])
        windows = window_means([one[0] for one in layers])
        found = places([sentences[n] for n in chosen], [tags[n] for n in chosen], words)
        sides.append((found, layers, windows))
    by_word: dict[str, list[float]] = {}
    (seen, seen_layers, seen_windows), (asked, asked_layers, asked_windows) = sides
    for word in sorted(words):
        learned, tested = seen[word], asked[word]

        def score(states: Any, others: Any, learned: Any = learned, tested: Any = tested) -> float:
            right = centroid_right(
                np.stack([states(n, place) for n, place, _ in learned]),
                [tag for *_, tag in learned],
                np.stack([others(n, place) for n, place, _ in tested]),
                [tag for *_, tag in tested],
            )
            return balanced(right, [tag for *_, tag in tested])

        scores = [
            score(lambda n, p, d=depth: seen_layers[n][d, p], lambda n, p, d=depth: asked_layers[n][d, p])
            for depth in range(1, len(seen_layers[0]))
        ]
        by_word[word] = [
            *scores,
            score(lambda n, p: seen_windows[n][p], lambda n, p: asked_windows[n][p]),
            100 / len({tag for *_, tag in tested}),
        ]
    table = np.array([by_word[word] for word in sorted(words)])  # [words, layers + 2]
    named = dict(zip(sorted(words), table.tolist(), strict=True))
    return {
        "last layer": {word: row[-3] for word, row in named.items()},
        "window": {word: row[-2] for word, row in named.items()},
        "last layer above chance": {word: row[-3] - row[-1] for word, row in named.items()},
        "by layer": table[:, :-2].mean(0),
    }


def halves(files: Sequence[Path]) -> tuple[Tagged, Tagged]:
    """The sentences of all files with their tags, in two halves of documents (ids are DOCUMENT-NUMBER)."""
    from headstart.tasks.data.rows import read_rows

    found: tuple[Tagged, Tagged] = ([], []), ([], [])
    for file in files:
        for _, row in read_rows(file):
            sentences, tags = found[is_heldout(row["id"].rpartition("-")[0], 0.5)]
            sentences.append(row["tokens"])
            tags.append(row["tags"])
    return found


def homographs(first: Tagged, second: Tagged) -> dict[str, set[str]]:
    """Words with two open classes at least, each `LEAST` times in both halves, and these classes."""
    counted = [
        Counter(
            (word.lower(), tag)
            for words, its in zip(*part, strict=True)
            for word, tag in zip(words, its, strict=True)
            if tag in OPEN
        )
        for part in (first, second)
    ]
    enough = [{key for key, count in one.items() if count >= LEAST} for one in counted]
    found: dict[str, set[str]] = {}
    for word, tag in enough[0] & enough[1]:
        found.setdefault(word, set()).add(tag)
    return {word: tags for word, tags in found.items() if len(tags) > 1}


def places(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], words: dict[str, set[str]]
) -> dict[str, list[tuple[int, int, str]]]:
    """Sentence, place and tag of every word's occurrences."""
    found: dict[str, list[tuple[int, int, str]]] = {word: [] for word in words}
    for number, (sentence, its) in enumerate(zip(sentences, tags, strict=True)):
        for place, (word, tag) in enumerate(zip(sentence, its, strict=True)):
            if tag in words.get(word.lower(), ()):
                found[word.lower()].append((number, place, tag))
    return found


def picture(evidence: Evidence) -> list[Figure]:
    """Both models, by layer, beside the mean of the window."""
    import numpy as np

    bars = [
        (f"{arm}, layer {depth}", float(value))
        for arm in ("encoder", "decoder")
        for depth, value in enumerate(np.asarray(evidence[f"{arm}.by layer"], float).mean(0), 1)
    ]
    window = [list(one.values()) for one in evidence["encoder.window"]]  # type: ignore[union-attr]
    bars.append(("mean of the words around", float(np.mean(window))))
    return [
        Figure("bars", "Noun, verb or adjective, nearest centroid", y="balanced percent right", bars=bars)
    ]
