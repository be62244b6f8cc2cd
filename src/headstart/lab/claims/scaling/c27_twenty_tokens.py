"""C27: how many tokens does a parameter want, for the least compute of training?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import sweep
from headstart.lab.rules import Every, Evidence, Within
from headstart.lab.runs import RunSpec

COMPUTE = 5.76e23
"""FLOPs of Gopher and of Chinchilla."""
PUBLISHED = {"approach 1": "hoffmann-2022-1", "approach 2": "hoffmann-2022-2"}

CLAIM = Claim(
    id="C27",
    chapter="scaling",
    title="compute-optimal training uses about 20 tokens per parameter",
    statement="At the compute of Chinchilla the best split of training is between 15 and 30 tokens a "
    "parameter "
    "by all published ways, and in runs of our own size and tokens grow alike with compute.",
    quantity="tokens a parameter at 5.76e23 FLOPs, by three ways; exponent of the best size over "
    "compute in our "
    "own runs",
    lesson="Twenty is the answer for one data set, one tokenizer and one compute. The paper's own "
    "constants of "
    "its third way, as printed, give more than three times as many; fitted again they agree.",
    scale="A sweep of twenty runs over two decades for an exponent of one's own; `headstart plan fit` on the "
    "published runs for the bootstrap.",
    sources=(
        Source("Hoffmann et al. 2022", "arXiv 2203.15556, table 2", "a = 0.50, 0.49, 0.46"),
        Source("Besiroglu et al. 2024", "arXiv 2404.10102", "fitted again: about 20 tokens", "abstract"),
    ),
    confounders=(
        "Our own parameters count embeddings, which is most of them here.",
        "Thirteen runs are few for five constants: the exponent is reported with its interval over seeds.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=1, tokens=0.4e6),
    "full": Level(seeds=3, minutes=2, tokens=6e6),
}
RULE = Every(
    *(Within(f"tokens a parameter, {name}", 15.0, 30.0) for name in (*PUBLISHED, "approach 3, fitted again")),
    Within("own exponent of the size", 0.35, 0.65),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The sweep of C24."""
    return sweep(bench)


def measure(bench: Bench) -> Numbers:
    """Loss, size and tokens of a run."""
    from headstart.lab.house import ROW, ROWS
    from headstart.lab.measures.judged import loss_and_size

    assert bench.spec is not None
    steps = bench.spec.settings["steps"]
    return loss_and_size(bench.run, steps, ROW * ROWS, bench.make(bench.tokens))


def together(evidence: Evidence) -> Evidence:
    """What was published, the same for every seed, and the law of our own runs."""
    from headstart.lab.measures.curves import measured_runs
    from headstart.scaling.fit import fit
    from headstart.scaling.published import ALLOCATIONS, REFIT

    laws = [fit(list(runs.values()), samples=20).law for runs in measured_runs(evidence)]
    optima = {name: ALLOCATIONS[law].optimum(COMPUTE) for name, law in PUBLISHED.items()}
    optima["approach 3, fitted again"] = REFIT.optimum(COMPUTE)
    found = {
        f"tokens a parameter, {name}": [one.tokens_per_parameter] * len(laws) for name, one in optima.items()
    }
    return found | {"own exponent of the size": [law.parameter_exponent for law in laws]}


def picture(evidence: Evidence) -> list[Figure]:
    """Tokens a parameter of the published ways."""
    names = (*PUBLISHED, "approach 3, fitted again")
    bars = [(name, float(evidence[f"tokens a parameter, {name}"][0])) for name in names]  # type: ignore[arg-type]
    return [Figure("bars", "Tokens a parameter at 5.76e23 FLOPs", y="tokens a parameter", bars=bars)]
