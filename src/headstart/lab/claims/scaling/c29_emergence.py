"""C29: is sharp emergence in the models, or in the metric?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source
from headstart.lab.house import LARGER, PARTS, WIDTHS, sweep, sweep_name
from headstart.lab.rules import Every, Evidence, Exact, Gain
from headstart.lab.runs import RunSpec

LENGTH = 4
CURVE = (*(sweep_name(WIDTHS[-1], part) for part in PARTS), LARGER)

CLAIM = Claim(
    id="C29",
    chapter="scaling",
    title='sharp "emergence" depends on the metric',
    statement="The same models that get better little by little at the next token look as if they began to "
    "write whole pieces at once, and the share of whole pieces is about that of tokens to the power of their "
    "number.",
    quantity="steepest step of the curve over training compute, as a share of its rise: of pieces of "
    "four tokens "
    "that are all right, less that of single tokens",
    lesson="Emergence is told as a leap of ability. Of the tasks where it was seen, more than nine in "
    "ten were "
    "scored by exact match or by multiple choice.",
    scale="Arithmetic, where single digits are learned at very different times, takes models that can add.",
    sources=(
        Source("Schaeffer et al. 2023", "arXiv 2304.15004", "the metric makes it sharp", "abstract"),
        Source("Wei et al. 2022", "arXiv 2206.07682", "abilities that small models do not have", "abstract"),
    ),
    confounders=(
        "Tokens of text are not independent: where one is right the next is likelier right, so that whole "
        "pieces are above the power.",
        "The axis is compute of training, most of it tokens; text, not sums.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=1, tokens=0.4e6),
    "full": Level(seeds=3, minutes=2, tokens=6e6),
}
RULE = Every(
    Gain("steepest step of pieces - steepest step of tokens", 0.1, "of the rise"),
    Exact("pieces less the power of tokens", 0.05),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Of the sweep of C24 the widest models and the larger one."""
    found = sweep(bench)
    return {name: found[name] for name in CURVE}


def measure(bench: Bench) -> Numbers:
    """Shares of tokens and of pieces of held-out text that the likeliest token gets right."""
    from headstart.lab.measures.judged import all_right, next_right
    from headstart.lab.measures.losses import heldout_rows, model_of

    right = next_right(model_of(bench.run), heldout_rows(bench.make(bench.tokens)).ids)
    return {"tokens": float(right.mean()), "pieces": all_right(right, LENGTH)}


def together(evidence: Evidence) -> Evidence:
    """Steepest steps and the gap to the power, seed by seed."""
    import numpy as np

    from headstart.lab.measures.curves import steepest_share

    curves = {
        kind: np.transpose([np.asarray(evidence[f"{name}.{kind}"], float) for name in CURVE])
        for kind in ("tokens", "pieces")
    }  # [seeds, models]
    found = {f"steepest step of {kind}": [steepest_share(one) for one in curves[kind]] for kind in curves}
    return found | {
        "pieces less the power of tokens": (curves["pieces"] - curves["tokens"] ** LENGTH).tolist()
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Both metrics over training, each as a share of its last value."""
    import numpy as np

    series = []
    for kind in ("tokens", "pieces"):
        means = [float(np.mean(np.asarray(evidence[f"{name}.{kind}"], float))) for name in CURVE]
        last = means[-1] or 1.0
        series.append(Series(kind, [(float(n), value / last) for n, value in enumerate(means, 1)]))
    return [
        Figure(
            "lines", "The same models by two metrics", "Each as a share of what the last model reaches.",
            "model, in the order of training compute", "share", series=series,
        )
    ]  # fmt: skip
