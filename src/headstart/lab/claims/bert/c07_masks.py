"""C07: how are masked tokens hidden, and what does hiding all of them behind the mask do?"""

import math

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import encoder
from headstart.lab.rules import Beyond, Every, Evidence, Exact, Gain
from headstart.lab.runs import RunSpec

RATE = 0.15
MIXED, ALL = (0.8, 0.1, 0.1), (1.0, 0.0, 0.0)

CLAIM = Claim(
    id="C07",
    chapter="BERT",
    title="15 % of tokens, of these 80/10/10; all-[MASK] training hurts on real text",
    statement="15 % of the tokens are chosen; of these 80 % become the mask, 10 % a random token and 10 % "
    "stay. A model "
    "trained with masks alone does not know what to do with a token that it sees.",
    quantity="shares of the fates, in standard deviations; nats of a chosen token that was left to be seen",
    lesson="The mismatch is certain and its price in fine-tuning small: BERT's own table has a few tenths "
    "of a point, and "
    "later work none.",
    sources=(
        Source(
            "Devlin et al. 2018",
            "arXiv 1810.04805, appendix C.2",
            "84.2 and 84.3 on MNLI, 94.9 and 94.0 frozen",
        ),
        Source("Wettig et al. 2022", "arXiv 2202.08005", "masks alone are not worse"),
    ),
    confounders=(
        "Both arms read the same rows with the same tokens chosen.",
        "Fine-tuning results are a part of their own: what a model says of seen tokens need not matter to a "
        "task.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=8, minutes=100, tokens=6e6, shape="S"),
}
RULE = Every(
    Exact("mixed.fates in standard deviations", 3.0),
    Exact("mixed.share of chosen tokens", 0.001, against=RATE),
    Gain("all masks.nats of a seen token - mixed.nats of a seen token", 0.5, "nats"),
    Beyond("fine-tuned results", "BERT shows a few tenths of a point at 110M parameters"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The same encoder, trained with 80/10/10 and with masks alone."""
    return {"mixed": encoder(bench, RATE, MIXED), "all masks": encoder(bench, RATE, ALL)}


def measure(bench: Bench) -> Numbers:
    """Nats of chosen tokens that stay visible, and of hidden ones; units: documents."""
    import numpy as np

    from headstart.lab.measures.losses import heldout_rows, masked_losses, model_of
    from headstart.objectives.batch import generator
    from headstart.objectives.masked import masked_batch

    heldout = heldout_rows(bench.make(bench.tokens))
    model, length = model_of(bench.run), heldout.ids.shape[1]
    seen = masked_losses(model, heldout, RATE, (0.0, 0.0, 1.0))
    hidden = masked_losses(model, heldout, RATE, ALL)
    numbers: dict[str, float | list[float]] = {
        "nats of a seen token": heldout.by_document(seen.nats, seen.places // length),
        "nats of a hidden token": heldout.by_document(hidden.nats, hidden.places // length),
    }
    if bench.arm == "mixed":
        ids, known = heldout.ids, heldout.vocabulary
        batch = masked_batch(ids, np.zeros_like(ids), RATE, known, generator(bench.seed, 1))
        now, was = batch.ids.flatten()[batch.positions].numpy(), batch.targets.numpy()
        shares = [np.mean(now == known.id("mask")), 0.0, np.mean(now == was)]
        shares[1] = 1 - shares[0] - shares[2]
        slip = 1 / known.ordinary.sum()  # a random token may be the one that stood there
        wanted = [MIXED[0], MIXED[1] * (1 - slip), MIXED[2] + MIXED[1] * slip]
        numbers["fates in standard deviations"] = [
            float((share - want) / math.sqrt(want * (1 - want) / len(was)))
            for share, want in zip(shares, wanted, strict=True)
        ]
        numbers["share of chosen tokens"] = len(was) / float(known.ordinary[ids].sum())
    return numbers


def picture(evidence: Evidence) -> list[Figure]:
    """What each arm says of seen and of hidden tokens."""
    import numpy as np

    bars = [
        (
            f"{name}: {kind} token",
            float(np.mean(np.asarray(evidence[f"{name}.nats of a {kind} token"], float))),
        )
        for kind in ("seen", "hidden")
        for name in ("mixed", "all masks")
    ]
    return [Figure("bars", "Nats of a token, by how the model was trained", y="nats", bars=bars)]
