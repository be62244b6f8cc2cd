"""C31: what is the loss of a model that has learned nothing?"""

import math

from headstart.lab.bench import VOCABULARY, Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact

CLAIM = Claim(
    id="C31",
    chapter="training",
    title="the first loss is ln V",
    statement="Before the first step the loss is the logarithm of the vocabulary's size, in every family.",
    quantity="first loss less ln V, and less ln V + half the variance of the scores, in nats a token",
    lesson="ln V holds where an initialisation keeps the first scores small. With scores of variance s² the "
    "loss "
    "is ln V + s²/2: Llama, its relatives and the Transformer of 2017 begin half a nat higher. T5 begins "
    "0.8 higher, of "
    "which the variance explains half, for its scores are far from normal.",
    sources=(Source("Karpathy 2019", "A Recipe for Training Neural Networks", "verify the loss at init"),),
    confounders=(
        "Targets have to be unrelated to what a model reads: each place is scored on the next token, also "
        "in encoders.",
        "The variance is taken over the vocabulary at each place, and assumes scores that are about normal.",
    ),
)
LEVELS = {"quick": Level(seeds=3, minutes=1), "full": Level(seeds=5, minutes=2)}
RULE = Every(
    Exact("first loss - ln V", 0.05, unit="nats"),
    Exact("first loss - (ln V + variance / 2)", 0.05, unit="nats"),
)


def measure(bench: Bench) -> Numbers:
    """Every family with random weights of this seed, on rows of held-out text; units: families."""
    import torch
    import torch.nn.functional as F

    from headstart.lab.measures.exactness import scores
    from headstart.models.registry import FAMILIES, make_config
    from headstart.models.transformer import build

    sizes = {"layers": 2, "width": 128, "heads": 4, "feedforward_width": 512, "context": 256}
    ids = torch.tensor(list(bench.rows(64, 8)))
    over, rest = {}, {}
    for family in FAMILIES:
        model = build(make_config(family, sizes | {"vocab_size": VOCABULARY}), bench.seed).eval()
        at = scores(model, ids)[:, :-1].flatten(0, 1)  # [N, V]
        loss = float(F.cross_entropy(at, ids[:, 1:].flatten()))
        over[family] = loss - math.log(VOCABULARY)
        rest[family] = over[family] - float(at.var(-1).mean()) / 2
    return {"first loss - ln V": over, "first loss - (ln V + variance / 2)": rest}


def picture(evidence: Evidence) -> list[Figure]:
    """Every family's first loss above ln V, the mean of the seeds."""
    rows = []
    for family in evidence["first loss - ln V"][0]:  # type: ignore[union-attr]
        columns = [[seed[family] for seed in values] for values in evidence.values()]  # type: ignore[index]
        rows.append([str(family), *(f"{sum(column) / len(column):+.3f}" for column in columns)])
    titles = ("family", "above ln V, nats", "above ln V + variance / 2, nats")
    return [Figure("table", "First loss of every family", columns=titles, rows=rows)]
