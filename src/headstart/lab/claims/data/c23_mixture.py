"""C23: does the mixture matter, and how often may a small source be repeated?"""

from typing import Any

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source, by_level
from headstart.lab.house import decoder, pretrain_of
from headstart.lab.rules import Every, Evidence, Gain, Same
from headstart.lab.runs import RunSpec, part_of

DOMAINS = ("books", "web")
SHARES = (0.25, 0.5, 0.75)
"""Of books; the rest is pages."""
PASSES = (1, 4, 16, 64)
BYTES = 3.4
"""Of a token of the usual tokenizer, about."""

CLAIM = Claim(
    id="C23",
    chapter="data",
    title="the mixture matters, and small sources must be repeated only a few times",
    statement="Doubling the share of a domain lowers the loss on it; reading a small source four times is "
    "nearly as good as reading new text, sixty-four times is not.",
    quantity="nats a token on held-out text of a domain, by its share; on all held-out text, by passes "
    "over a "
    "source that is cut so that all runs read as many tokens",
    lesson="The 130 billion of all English books are sometimes given as words: it is an estimate of the "
    "number "
    "of books that is far smaller, and of words that is far larger.",
    sources=(
        Source(
            "Muennighoff et al. 2023", "arXiv 2305.16264", "up to 4 passes nearly as good as new", "abstract"
        ),
        Source("Xie et al. 2023 (DoReMi)", "arXiv 2305.10429", "mixtures tuned by a small model", "abstract"),
    ),
    confounders=(
        "All runs read as many tokens, so that a repeated source is a smaller one.",
        "Held-out text of both domains, without what the training text repeats.",
        "The text has to have pages and books (domains web and books).",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=10, tokens=0.4e6),
    "full": Level(seeds=3, minutes=90, tokens=6e6, shape="S"),
}
RULE = Every(
    Gain("books 0.25.nats of books - books 0.5.nats of books", 0.05, "nats"),
    Gain("books 0.75.nats of web - books 0.5.nats of web", 0.05, "nats"),
    Same("passes 4.nats - passes 1.nats", 0.02, "nats"),
    Gain("passes 64.nats - passes 4.nats", 0.05, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Three mixtures, and four sizes of a source."""
    found = {}
    for share in SHARES:
        phases: list[dict[str, Any]] = [{"domains": dict(zip(DOMAINS, (share, 1 - share), strict=True))}]
        model = {"architecture": "decoder"}
        found[f"books {share:g}"] = pretrain_of(bench, model, {"kind": "causal"}, phases=phases)
    for passes in PASSES:
        size = round(bench.level.tokens * BYTES / passes)
        found[f"passes {passes}"] = decoder(bench, part_of(bench.corpus, bench.tokenizer(), size))
    return found


def measure(bench: Bench) -> Numbers:
    """Nats on all held-out documents, or of a mixture by domain; units: documents."""
    from headstart.lab.measures.judged import heldout_of_domain
    from headstart.lab.measures.losses import causal_by_document, heldout_rows

    tokens = bench.make(bench.tokens)
    if bench.arm.startswith("passes"):
        return {"nats": causal_by_document(bench.run, heldout_rows(tokens))}
    return {
        f"nats of {domain}": causal_by_document(bench.run, heldout_of_domain(tokens, domain))
        for domain in DOMAINS
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Loss by share of books, and by passes."""
    import numpy as np

    def seeds(name: str) -> list[float]:
        return [float(np.mean(np.asarray(one, float))) for one in evidence[name]]

    mixtures = [
        by_level(
            f"on {domain}",
            SHARES,
            np.transpose([seeds(f"books {share:g}.nats of {domain}") for share in SHARES]).tolist(),
        )
        for domain in DOMAINS
    ]
    passes = by_level(
        "held-out text", PASSES, np.transpose([seeds(f"passes {n}.nats") for n in PASSES]).tolist()
    )
    return [
        Figure("lines", "Loss by mixture", x="share of books", y="nats a token", series=mixtures),
        Figure(
            "lines", "Loss by passes, equal tokens", x="passes", y="nats a token", log_x=True, series=[passes]
        ),
    ]
