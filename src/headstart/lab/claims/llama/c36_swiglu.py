"""C36: does a gated feed-forward layer beat plain ones of as many weights?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import decoder, inner_width
from headstart.lab.rules import Every, Gain
from headstart.lab.runs import RunSpec

CLAIM = Claim(
    id="C36",
    chapter="Llama",
    title="SwiGLU beats ReLU and GELU at equal parameters",
    statement="With as many weights, a model with SwiGLU has a lower loss than one with ReLU or GELU.",
    quantity="held-out loss in nats a token, plain less gated",
    lesson="\"8/3 D\" is Llama 1's and 2's width; Llama 3 has 3.5 D.",
    scale="220M parameters and 65k steps, where the gap was 0.04 nats to GELU.",
    sources=(
        Source(
            "Shazeer 2020", "arXiv 2002.05202", "log-perplexity 1.944 against 1.983 (GELU) and 1.997 (ReLU)"
        ),
    ),
    confounders=(
        "352 inner units with a gate and 528 without have exactly as many weights, and cost as many "
        "operations.",
        "One rate for all three; each might have a better one of its own.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=7, tokens=0.4e6),
    "full": Level(seeds=8, minutes=150, tokens=6e6, shape="S"),
}
RULE = Every(Gain("gelu.nats - swiglu.nats", 0.02, "nats"), Gain("relu.nats - swiglu.nats", 0.02, "nats"))


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder, and two with plain layers of as many weights."""
    wide = inner_width(bench, gated=False)
    plain = {kind: decoder(bench, feedforward=kind, feedforward_width=wide) for kind in ("gelu", "relu")}
    return {"swiglu": decoder(bench)} | plain


def measure(bench: Bench) -> Numbers:
    """Loss; units: documents."""
    from headstart.lab.measures.losses import causal_by_document, heldout_rows

    return {"nats": causal_by_document(bench.run, heldout_rows(bench.make(bench.tokens)))}
