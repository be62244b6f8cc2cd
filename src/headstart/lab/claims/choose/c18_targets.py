"""C18: what does it cost to learn from some tokens instead of all?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import decoder, encoder
from headstart.lab.rules import Every, Exact, Gain
from headstart.lab.runs import RunSpec

RATE = 0.4

CLAIM = Claim(
    id="C18",
    chapter="choose",
    title="masked training learns from 15 % of tokens, causal from all",
    statement="Masked training scores 15 % of the tokens it reads, causal training all of them, and learns "
    "faster for "
    "it: with the same sight and as many tokens read, the causal model predicts better.",
    quantity="share of tokens that are targets; nats of the same held-out tokens after as many tokens read",
    lesson="The 15 % are BERT's choice, not the objective's: 40 % learn faster at this size, and are used "
    "here.",
    sources=(Source("Wettig et al. 2022", "arXiv 2202.08005", "40 % masked beats 15 % for large models"),),
    confounders=(
        "Both models see the left side alone, so that sight is not what differs.",
        "The masked model reads text with holes; at measuring, its tokens are hidden in the same way, the "
        "causal "
        "model's left context is whole. Part of the gap is that.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=5, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    Exact("masked.share of BERT's targets", 0.01, against=0.15),
    Exact("causal.share of targets", 0.02, against=1.0),
    Gain("masked.nats - causal.nats", 0.1, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Two models that see the left alone."""
    return {"masked": encoder(bench, RATE, architecture="decoder"), "causal": decoder(bench)}


def measure(bench: Bench) -> Numbers:
    """Nats of the same tokens of held-out documents; units: documents."""
    import numpy as np

    from headstart.lab.measures.losses import causal_losses, heldout_rows, masked_losses, model_of
    from headstart.objectives.batch import generator
    from headstart.objectives.causal import causal_batch
    from headstart.objectives.masked import masked_batch

    heldout = heldout_rows(bench.make(bench.tokens))
    ids, length = heldout.ids, heldout.ids.shape[1]
    model = model_of(bench.run)
    hidden = masked_losses(model, heldout, RATE)
    inner = hidden.places % length > 0  # nothing stands to the left of a row's first token
    places = hidden.places[inner]
    if bench.arm == "masked":
        batch = masked_batch(ids, np.zeros_like(ids), 0.15, heldout.vocabulary, generator(0, 0))
        ordinary = heldout.vocabulary.ordinary[ids].sum()
        share = {"share of BERT's targets": len(batch.targets) / float(ordinary)}
        nats = hidden.nats[inner]
    else:
        batch = causal_batch(ids, np.zeros_like(ids))
        share = {"share of targets": len(batch.targets) / batch.ids.numel()}
        nats = causal_losses(model, ids)[places // length, places % length - 1]
    return {"nats": heldout.by_document(nats, places // length)} | share
