"""C06: do vectors counted from plain text agree with people about words?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec, word2vec_of

SETS = {"WordSim": "wordsim353.tsv", "SimLex": "simlex999.txt"}
QUESTIONS = 1000

CLAIM = Claim(
    id="C06",
    chapter="context",
    title="static vectors capture similarity and analogy from unlabelled text",
    statement="Cosines of word vectors that were learned from plain text agree with people's judgements of "
    "similarity, and their differences solve analogies.",
    quantity="Spearman's correlation with people's judgements; share of analogies solved; each less the same "
    "of these vectors given to other words",
    lesson="King - man + woman = queen is solved with the three words of the question left out; with them "
    "left in, the nearest word is mostly one of the three.",
    scale="A billion words: published vectors reach 0.7 on WordSim and more than half of the analogies.",
    sources=(
        Source("Mikolov et al. 2013", "arXiv 1301.3781", "analogies by differences of vectors"),
        Source("Levy, Goldberg & Dagan 2015", "TACL 3", "settings matter more than the method"),
    ),
    confounders=(
        "Words that occur fewer than 20 times are not asked about; how many pairs are left is measured.",
        "Books in old spelling are half of the text.",
        "Vectors of other words have the same lengths and directions, and know nothing.",
    ),
)
LEVELS = {"quick": Level(seeds=3, minutes=4), "full": Level(seeds=5, minutes=10)}
RULE = Every(
    *(Gain(f"word2vec.{name} - word2vec.{name} by chance", 0.15, "Spearman") for name in SETS),
    Gain("word2vec.analogies - word2vec.analogies by chance", 0.02, "of the questions"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """word2vec on all of the text."""
    return {"word2vec": word2vec_of(bench.corpus, bench.seed)}


def measure(bench: Bench) -> Numbers:
    """Both, of the vectors and of the same vectors shuffled."""
    from headstart.lab.measures.similarity import agreement, analogies, shuffled, similarities, solved
    from headstart.models.vectors.word_vectors import WordVectors

    vectors = WordVectors.load(bench.run / "model")
    numbers = {}
    for end, these in (("", vectors), (" by chance", shuffled(vectors, bench.seed))):
        for name, file in SETS.items():
            numbers[f"{name}{end}"], numbers[f"pairs of {name}"] = agreement(these, similarities(file))
        numbers[f"analogies{end}"], numbers["questions"] = solved(these, analogies(), QUESTIONS, bench.seed)
    return numbers


def picture(evidence: Evidence) -> list[Figure]:
    """All scores beside chance, and how much was asked."""
    import numpy as np

    names = [*SETS, "analogies"]
    bars = [
        (f"{name}{end}", float(np.mean(np.asarray(evidence[f"word2vec.{name}{end}"], float))))
        for name in names
        for end in ("", " by chance")
    ]
    asked = [
        [name, f"{float(evidence[f'word2vec.{name}'][0]):,.0f}"]  # type: ignore[arg-type]
        for name in (*(f"pairs of {one}" for one in SETS), "questions")
    ]
    return [
        Figure("bars", "Spearman's correlation, and share of analogies solved", y="", bars=bars),
        Figure("table", "What was asked", columns=("", "n"), rows=asked),
    ]
