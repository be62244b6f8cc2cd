"""C25: by how much does ten times the compute lower the loss?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source
from headstart.lab.rules import Beyond, Every, Evidence, Within

LAWS = {
    "best size, fixed batch": "kaplan-2020-compute",
    "best size, small batch": "kaplan-2020-least-compute",
}
FACTORS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)

CLAIM = Claim(
    id="C25",
    chapter="scaling",
    title="ten times the compute gives about 12 % lower loss (Kaplan)",
    statement="By the power law of Kaplan et al. ten times the compute lowers the loss by about 12 %.",
    quantity="1 - 10 to the power of minus the exponent; and the same of runs of one's own",
    lesson="It is one of two exponents in the paper: 0.057 for a fixed batch gives 12 %, 0.050, the paper's "
    "own frontier, "
    "11 %. Neither law has a floor, and a loss that cannot fall below the entropy of text has one.",
    scale="A sweep of some twenty runs over two decades of compute (`headstart plan sweep`).",
    sources=(
        Source("Kaplan et al. 2020", "arXiv 2001.08361, eq. 1.3 and table 5", "exponents 0.050 and 0.057"),
    ),
    confounders=(
        "A loss in nats a token depends on the tokenizer; the share by which it falls does, too.",
        "With a floor the share shrinks as the loss comes near it.",
    ),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Every(
    Within("fixed batch, lower by", 11.5, 12.5, "%"),
    Within("small batch, lower by", 10.5, 11.5, "%"),
    Beyond("runs of our own", "it takes a sweep over two decades of compute"),
)


def measure(bench: Bench) -> Numbers:
    """What both published laws say."""
    from headstart.scaling.published import POWER_LAWS

    lower = {name: 100 * POWER_LAWS[law].lower(10) for name, law in LAWS.items()}
    return {f"{name.removeprefix('best size, ')}, lower by": value for name, value in lower.items()}


def picture(evidence: Evidence) -> list[Figure]:
    """What is left of the loss, by both laws."""
    from headstart.scaling.published import POWER_LAWS

    series = [
        Series(name, [(factor, 1 - POWER_LAWS[law].lower(factor)) for factor in FACTORS])
        for name, law in LAWS.items()
    ]
    return [Figure("lines", "Loss left", x="times the compute", y="share", log_x=True, series=series)]
