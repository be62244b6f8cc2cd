"""C30: how many tokens does a word take, by its frequency and by the size of the vocabulary?"""

import math
import re
from collections import Counter

from headstart.lab.bench import VOCABULARY, Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source, by_level
from headstart.lab.rules import Every, Evidence, Trend, Within

VOCABULARIES = (512, VOCABULARY, 16_384)
DOUBLINGS = tuple(math.log2(size) for size in VOCABULARIES)
BANDS = ((1, 100), (101, 1000), (1001, 10_000), (10_001, 10**9))
DOCUMENTS = 100
WORD = re.compile(r"[^\W\d_]+")

CLAIM = Claim(
    id="C30",
    chapter="training",
    title="frequent words become one token, rare ones several; a larger vocabulary shortens documents",
    statement="A tokenizer gives frequent words one token and rare ones several, and documents become "
    "shorter as the "
    "vocabulary grows.",
    quantity="tokens a word on held-out documents, by the rank of the word and by the size of the vocabulary",
    lesson='"Roughly 4 tokens per English word" has it upside down: a word is about 1.3 tokens of a large '
    "vocabulary, a token about 4 characters, so that 15T tokens are about 11T words and not 3.75T.",
    sources=(
        Source("Sennrich et al. 2016", "arXiv 1508.07909", "frequent pieces are merged first"),
        Source("Tao et al. 2024", "arXiv 2407.13623", "larger models deserve larger vocabularies"),
    ),
    confounders=(
        "Held-out documents: on text that a tokenizer was trained on, words are known that elsewhere are "
        "not.",
        "Each seed sets other documents apart and trains all tokenizers anew.",
        "Ranks are those of the training text; words of other languages and names fill the rarest band.",
    ),
)
LEVELS = {"quick": Level(seeds=3, minutes=2), "full": Level(seeds=5, minutes=4)}
RULE = Every(
    Trend("tokens a word by rarity", 0.2, tuple(range(len(BANDS))), "tokens a band"),
    Trend("words a token by vocabulary", 0.02, DOUBLINGS, "words a doubling"),
    Within("tokens of the 100 most frequent words", 1.0, 1.1, "tokens"),
)


def measure(bench: Bench) -> Numbers:
    """Four tokenizers of one split, on the documents that it sets apart."""
    from headstart.corpus_folder import corpus_documents
    from headstart.lab.runs import is_apart
    from headstart.tokenizer.folder import open_tokenizer

    documents = corpus_documents(bench.make(bench.corpus), ("id", "text"))
    counts: Counter[str] = Counter()
    for document in documents:
        if not is_apart(document["id"], bench.seed):
            counts.update(WORD.findall(document["text"]))
    rank = {word: place for place, (word, _) in enumerate(counts.most_common(), 1)}
    texts = bench.heldout_texts(bench.seed)[:DOCUMENTS]
    words = Counter(word for text in texts for word in WORD.findall(text))
    rates = []
    for size in VOCABULARIES:
        tokenizer = open_tokenizer(bench.make(bench.tokenizer(size, bench.seed)))
        tokens = sum(map(len, tokenizer.encode_batch(texts)))
        rates.append(sum(words.values()) / tokens)
        if size == VOCABULARY:
            pieces = {word: len(tokenizer.encode(f" {word}")) for word in words}
    by_band = []
    for low, high in BANDS:
        band = {word: n for word, n in words.items() if low <= rank.get(word, 10**8) <= high}
        by_band.append(sum(n * pieces[word] for word, n in band.items()) / max(sum(band.values()), 1))
    return {
        "tokens a word by rarity": by_band,
        "words a token by vocabulary": rates,
        "tokens of the 100 most frequent words": by_band[0],
        "tokens a word of all": 1 / rates[-1],
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Both curves."""
    words = by_level("held-out text", VOCABULARIES, evidence["words a token by vocabulary"])
    shorter = Series("held-out text", [(x, 1 / y) for x, y in words.points])
    names = ("1 to 100", "101 to 1,000", "1,001 to 10,000", "rarer")
    rarity = by_level("", range(len(BANDS)), evidence["tokens a word by rarity"])
    bars = [(name, value) for name, (_, value) in zip(names, rarity.points, strict=True)]
    return [
        Figure("bars", f"Tokens a word by rank, vocabulary {VOCABULARY:,}", y="tokens", bars=bars),
        Figure(
            "lines", "A larger vocabulary shortens "
            "documents", x="entries of the vocabulary", y="tokens a word",
            log_x=True, series=[shorter],
        ),
    ]  # fmt: skip
