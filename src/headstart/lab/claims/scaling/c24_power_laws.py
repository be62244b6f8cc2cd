"""C24: does the loss fall as a power law in parameters, data and compute?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source
from headstart.lab.house import LARGER, PARTS, WIDTHS, sweep, sweep_name
from headstart.lab.rules import Every, Evidence, Within
from headstart.lab.runs import RunSpec

CLAIM = Claim(
    id="C24",
    chapter="scaling",
    title="loss falls as a power law in parameters, data and compute",
    statement="On logarithmic axes the loss falls in a straight line over tokens, over parameters and over "
    "compute, and the law foretells a larger run within five percent.",
    quantity="straightness (R squared) of log loss over log x; percent by which the forecast of a run "
    "of twice "
    "the tokens is off",
    lesson="With a floor, the entropy of text, the line bends; the floor itself is given as 1.0 to 1.5 nats, "
    "where fits say 1.69 (Hoffmann) and 1.82 (Besiroglu), a token of theirs.",
    scale="Five sizes and four computes over two decades (`headstart plan sweep`).",
    sources=(
        Source(
            "Kaplan et al. 2020", "arXiv 2001.08361", "power laws over seven orders of magnitude", "abstract"
        ),
        Source("Hoffmann et al. 2022", "arXiv 2203.15556", "a law with a floor"),
    ),
    confounders=(
        "At these sizes most weights are the embedding's.",
        "Rates are those of one width; every run has its own schedule to its own end.",
        "Four points in a line make a high R squared easy; the forecast is the harder part.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=8, tokens=0.4e6),
    "full": Level(seeds=3, minutes=120, tokens=6e6),
}
RULE = Every(
    Within("straightness over tokens", 0.98, float("inf")),
    Within("straightness over parameters", 0.98, float("inf")),
    Within("straightness over compute", 0.98, float("inf")),
    Within("forecast of the larger run", -5.0, 5.0, "% off"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Three widths, four numbers of tokens, and a larger run."""
    return sweep(bench)


def measure(bench: Bench) -> Numbers:
    """Loss on held-out text, with size and tokens of the run."""
    from headstart.lab.house import ROW, ROWS
    from headstart.lab.measures.judged import loss_and_size

    assert bench.spec is not None
    steps = bench.spec.settings["steps"]
    return loss_and_size(bench.run, steps, ROW * ROWS, bench.make(bench.tokens))


def together(evidence: Evidence) -> Evidence:
    """Lines and forecast, seed by seed."""
    from headstart.lab.measures.curves import measured_runs, power_law
    from headstart.scaling.fit import fit

    widest = [sweep_name(WIDTHS[-1], part) for part in PARTS]
    longest = [sweep_name(width, PARTS[-1]) for width in WIDTHS]
    found: dict[str, list[float]] = {}
    for runs in measured_runs(evidence):
        grid = {name: run for name, run in runs.items() if name != LARGER}
        best, frontier = float("inf"), []
        for run in sorted(grid.values(), key=lambda run: run.compute):
            if run.loss < best:
                best = run.loss
                frontier.append((run.compute, run.loss))
        lines = {
            "tokens": [(runs[name].tokens, runs[name].loss) for name in widest],
            "parameters": [(runs[name].parameters, runs[name].loss) for name in longest],
            "compute": frontier,
        }
        for name, points in lines.items():
            exponent, straightness = power_law(*zip(*points, strict=True))
            found.setdefault(f"straightness over {name}", []).append(straightness)
            found.setdefault(f"exponent of {name}", []).append(exponent)
        law = fit(list(grid.values()), samples=20).law
        larger = runs[LARGER]
        off = 100 * (law.loss(larger.parameters, larger.tokens) / larger.loss - 1)
        found.setdefault("forecast of the larger run", []).append(off)
    return found


def picture(evidence: Evidence) -> list[Figure]:
    """Loss over tokens, by width."""
    import numpy as np

    def mean(name: str) -> float:
        return float(np.mean(np.asarray(evidence[name], float)))

    series = [
        Series(
            f"{width} wide",
            [
                (mean(f"{sweep_name(width, part)}.tokens"), mean(f"{sweep_name(width, part)}.nats"))
                for part in PARTS
            ],
        )
        for width in WIDTHS
    ]
    series.append(Series("larger", [(mean(f"{LARGER}.tokens"), mean(f"{LARGER}.nats"))]))
    return [
        Figure(
            "lines", "Loss of our own sweep", x="tokens", y="nats a token", log_x=True, log_y=True,
            series=series,
        )
    ]  # fmt: skip
