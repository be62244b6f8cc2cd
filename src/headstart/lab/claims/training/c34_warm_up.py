"""C34: does warm-up avoid divergence, and is a cosine to a tenth the better end?"""

import math
from typing import Any

from headstart.lab.bench import VOCABULARY, Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import pretrain_of
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec

RATES = (0.001, 0.004, 0.016)
PLACES = ("pre", "post")
SCHEDULES = {"a tenth": {"schedule": "cosine"}, "constant": {"schedule": "constant"}}
WARM_UP = {"with": 0.1, "without": 0.0}
LAYERS, STEPS = 6, 100
GUESSING = math.log(VOCABULARY)
"""Nats of knowing nothing: a run that diverged counts as much."""

CLAIM = Claim(
    id="C34",
    chapter="training",
    title="warm-up avoids divergence; cosine to a tenth of the peak",
    statement="At a rate above the best one a model with its norms behind the sums ends lower with "
    "warm-up than "
    "without; at each schedule's best rate a cosine to a tenth ends lower than a constant rate.",
    quantity="held-out nats a token, without less with; lowest over rates of constant less cosine",
    lesson='"Huge initial gradients" are the reason where norms stand behind the sums; where they stand '
    "before "
    "each part, as in all models of today, warm-up is needed less.",
    scale="Hundreds of steps of twelve layers: what diverges does so later than a short run lasts.",
    sources=(
        Source("Xiong et al. 2020", "arXiv 2002.04745", "norms in front need no warm-up", "abstract"),
        Source("Kalra & Barkeshli 2024", "arXiv 2406.09405", "warm-up lets rates be higher", "abstract"),
    ),
    confounders=(
        "AdamW with its correction of the first steps, and clipping of the gradient, do part of "
        "warm-up's work.",
        "Spikes are left as they are; a run that ends above the loss of guessing counts as guessing.",
        "Each schedule has its best of three rates.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=10, tokens=STEPS * 2048),
    "full": Level(seeds=5, minutes=60, tokens=STEPS * 2048, shape="S"),
}
RULE = Every(
    Gain("post at 0.016, without.nats - post at 0.016, with.nats", 0.1, "nats"),
    Gain("pre at 0.016, without.nats - pre at 0.016, with.nats", 0.1, "nats"),
    Gain("constant, best rate - a tenth, best rate", 0.01, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Rates, with and without warm-up, in both places of the norms; and a constant rate."""
    found = {
        f"{place} at {rate:g}, {name}": trained(bench, place, rate, share, "a tenth")
        for place in PLACES
        for rate in RATES
        for name, share in WARM_UP.items()
    }
    return found | {
        f"constant at {rate:g}": trained(bench, "pre", rate, WARM_UP["with"], "constant") for rate in RATES
    }


def trained(bench: Bench, place: str, rate: float, warm_up: float, schedule: str) -> RunSpec:
    """A decoder of six layers, by AdamW at one rate for all weights."""
    optimiser: dict[str, Any] = {"kind": "adamw", "matrix_rate": rate, "vector_rate": rate}
    optimiser |= {"warmup_share": warm_up, **SCHEDULES[schedule]}
    model = {"architecture": "decoder", "layers": LAYERS, "norm_place": place}
    return pretrain_of(bench, model, {"kind": "causal"}, optimiser=optimiser, on_spike="ignore")


def measure(bench: Bench) -> Numbers:
    """Nats on held-out text."""
    import numpy as np

    from headstart.lab.measures.losses import causal_by_document, heldout_rows

    nats = float(np.mean(causal_by_document(bench.run, heldout_rows(bench.make(bench.tokens)))))
    return {"nats": min(nats, GUESSING) if math.isfinite(nats) else GUESSING}


def together(evidence: Evidence) -> Evidence:
    """The lowest loss over rates of both schedules, seed by seed."""
    names = {
        "a tenth": [f"pre at {rate:g}, with" for rate in RATES],
        "constant": [f"constant at {rate:g}" for rate in RATES],
    }
    return {
        f"{schedule}, best rate": [
            min(float(value) for value in seed)
            for seed in zip(*(evidence[f"{name}.nats"] for name in arms_of), strict=True)
        ]
        for schedule, arms_of in names.items()
    }


def picture(evidence: Evidence) -> list[Figure]:
    """All arms."""
    import numpy as np

    bars = [
        (name.removesuffix(".nats"), float(np.mean(np.asarray(values, float))))
        for name, values in evidence.items()
        if name.endswith(".nats")
    ]
    return [Figure("bars", "Loss after a hundred steps", y="nats a token", bars=bars)]
