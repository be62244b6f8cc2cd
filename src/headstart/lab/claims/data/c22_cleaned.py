"""C22: does cleaned text train a better model than more text as it comes?"""

from pathlib import Path

from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import decoder
from headstart.lab.rules import Every, Gain
from headstart.lab.runs import RunSpec, corpus_of, tokens_of

AS_IT_COMES = {
    "languages": "any",
    "rules": {"defaults": "off"},
    "page_rules": {"defaults": "off"},
    "exact_duplicates": False,
    "near_duplicates": {"enabled": False},
}

CLAIM = Claim(
    id="C22",
    chapter="data",
    title="filtered and deduplicated data trains a better model than more raw data",
    statement="At equal tokens read, a model trained on cleaned pages predicts text that nobody cleaned for "
    "it better than one trained on pages as they come, and better than one trained on pages of the right "
    "language alone.",
    quantity="nats a token on text of another source, as it comes or of one language, less cleaned",
    lesson="Half of the gain of a pipeline on a mixed crawl can be the choice of the language alone. And "
    "which text judges turns the sign: on raw pages the model of raw pages is the better one.",
    sources=(
        Source(
            "Penedo et al. 2023 (RefinedWeb)",
            "arXiv 2306.01116",
            "filtered web alone beats curated corpora",
            "abstract",
        ),
        Source(
            "Penedo et al. 2024 (FineWeb)", "arXiv 2406.17557", "each step measured by training", "abstract"
        ),
    ),
    confounders=(
        "Raw pages hold other languages: without the arm of one language the claim is trivial.",
        "The judge is the last file or folder of the text, Brown of the samples, which no arm trains on.",
        "One tokenizer for all arms, trained on all of the text, cleaned.",
        "Books are in all arms; cleaning changes their share.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=9, tokens=0.4e6),
    "full": Level(seeds=3, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    Gain("as it comes.nats - cleaned.nats", 0.02, "nats"),
    Gain("one language.nats - cleaned.nats", 0.02, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """One decoder, four corpora of the same raw text, each with one step more."""
    text = parts(bench.files)[:-1]
    steps = {
        "as it comes": AS_IT_COMES,
        "one language": {name: one for name, one in AS_IT_COMES.items() if name != "languages"},
        "rules": {name: AS_IT_COMES[name] for name in ("exact_duplicates", "near_duplicates")},
        "cleaned": {},
    }
    corpora = {name: corpus_of(text, **settings) for name, settings in steps.items()}
    return {name: decoder(bench, tokens_of(corpus, bench.tokenizer())) for name, corpus in corpora.items()}


def parts(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files and folders that are told apart: of a single folder what it holds.

    Raises:
        HeadstartError: there is one alone.
    """
    if len(files) == 1 and files[0].is_dir():
        files = tuple(sorted(files[0].iterdir()))
    if len(files) < 2:
        raise HeadstartError(
            "C22 trains on all files and folders in --data but the last, which judges; "
            "give a folder that holds two at least"
        )
    return files


def measure(bench: Bench) -> Numbers:
    """Nats a token of the judge's documents; units: documents."""
    from headstart.lab.measures.judged import rows_of_texts
    from headstart.lab.measures.losses import causal_by_document

    judge = bench.make(corpus_of(parts(bench.files)[-1:]))
    texts = (document["text"] for document in corpus_documents(judge, ("text",)))
    return {"nats": causal_by_document(bench.run, rows_of_texts(texts, bench.make(bench.tokens)))}
