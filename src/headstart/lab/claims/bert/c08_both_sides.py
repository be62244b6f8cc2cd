"""C08: does a model that sees both sides of a word predict it better than one that sees the left alone?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import encoder
from headstart.lab.rules import Gain
from headstart.lab.runs import RunSpec

RATE = 0.4

CLAIM = Claim(
    id="C08",
    chapter="BERT",
    title="both-sided context predicts a word better than the left side alone",
    statement="Of two models of the same size, data and objective, the one that sees both sides of a hidden "
    "word "
    "predicts it better than the one that sees its left side alone.",
    quantity="nats a hidden token at the same held-out places",
    lesson="BERT is usually compared with GPT, and these differ in two things: what they see, and how many "
    "tokens "
    "they learn from. An encoder against a decoder is nearly a tie of two large effects.",
    sources=(
        Source("Devlin et al. 2018", "arXiv 1810.04805, table 5", "left-to-right is worse on all tasks"),
    ),
    confounders=(
        "Same masks, targets, weights, rows and order; only what attention may see differs.",
        "The left model's context has the same hidden tokens in it.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=5, minutes=60, tokens=6e6, shape="S"),
}
RULE = Gain("left.nats - both.nats", 0.1, "nats")


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The same model, masked, with and without the right side."""
    return {"both": encoder(bench, RATE), "left": encoder(bench, RATE, architecture="decoder")}


def measure(bench: Bench) -> Numbers:
    """Nats of the same hidden tokens; units: documents."""
    from headstart.lab.measures.losses import heldout_rows, masked_by_document

    return {"nats": masked_by_document(bench.run, heldout_rows(bench.make(bench.tokens)), RATE)}
