"""C28: when is a small model that was trained for long the cheaper one?"""

import math
from itertools import pairwise

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source
from headstart.lab.rules import Every, Evidence, Within

LLAMA_PARAMETERS, LLAMA_TOKENS = 8_030_261_248, 15e12
DEMANDS = tuple(10.0**power for power in range(10, 17))
VARIANTS = 40

CLAIM = Claim(
    id="C28",
    chapter="scaling",
    title="small models trained far past the optimum win once inference is paid for",
    statement="The more a model will be used, the smaller it should be and the longer it should train; "
    "Llama 3 8B "
    "on 15T tokens is the cheapest model of its loss for some demand.",
    quantity="tokens a parameter at the least lifetime compute, over tokens of inference",
    lesson="Tokens a parameter are compared with 20 as if 20 were a law of nature: it minimises the compute "
    "of "
    "training alone.",
    scale="Two sizes trained at equal lifetime compute; the published runs went up to 16B parameters and "
    "500B tokens.",
    sources=(
        Source(
            "Sardana et al. 2023",
            "arXiv 2401.00448",
            "with about 1B requests: smaller and longer",
            "abstract",
        ),
        Source("Besiroglu et al. 2024", "arXiv 2404.10102, table 1", "the law that is used"),
    ),
    confounders=(
        "A law fitted to models of at most 16B on at most 318B tokens is asked about 15T: the picture is an "
        "extrapolation, about 50 times in tokens.",
        "Inference is counted at 2 N a token and the same price a FLOP as training.",
    ),
)
LEVELS = {"quick": Level(minutes=0.5), "full": Level(minutes=0.5)}
RULE = Every(
    Within("rise of log10 tokens a parameter, a decade of demand", 1e-3, float("inf")),
    Within("share of plausible laws by which 8B on 15T is best somewhere", 0.9, 1.0),
    Within("tokens a parameter there", 100.0, float("inf")),
)


def measure(bench: Bench) -> Numbers:
    """The lifetime optimum at the loss of Llama 3 8B, by a published law and by laws as plausible."""
    from headstart.scaling.published import REFIT

    optima = [lifetime(REFIT, demand) for demand in DEMANDS]
    ratios = [math.log10(tokens / parameters) for parameters, tokens in optima]
    rises = [later - earlier for earlier, later in pairwise(ratios)]
    found = [demand_of(law) is not None for law in REFIT.variants[:VARIANTS]]
    demand = demand_of(REFIT)
    return {
        "rise of log10 tokens a parameter, a decade of demand": min(rises),
        "share of plausible laws by which 8B on 15T is best somewhere": sum(found) / len(found),
        "tokens a parameter there": LLAMA_TOKENS / LLAMA_PARAMETERS if demand else 0.0,
        "demand, tokens": demand or 0.0,
        "tokens a parameter by demand": [10**ratio for ratio in ratios],
    }


def lifetime(law: object, demand: float) -> tuple[float, float]:
    """Parameters and tokens of the cheapest model with Llama 3 8B's loss."""
    best = law.lifetime_optimum(law.loss(LLAMA_PARAMETERS, LLAMA_TOKENS), demand)  # type: ignore[attr-defined]
    return best.parameters, best.tokens


def demand_of(law: object) -> float | None:
    """The tokens of inference for which 8B on 15T is the cheapest model of its loss; None: for none."""
    low, high = 9.0, 18.0
    if lifetime(law, 10**low)[0] < LLAMA_PARAMETERS or lifetime(law, 10**high)[0] > LLAMA_PARAMETERS:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        if lifetime(law, 10**middle)[0] > LLAMA_PARAMETERS:
            low = middle
        else:
            high = middle
    return float(10 ** ((low + high) / 2))


def picture(evidence: Evidence) -> list[Figure]:
    """The optimum over demand, with Llama 3 8B on it."""
    curve = evidence["tokens a parameter by demand"][0]
    series = [Series("least lifetime compute", list(zip(DEMANDS, curve, strict=True)))]  # type: ignore[arg-type]
    if demand := evidence["demand, tokens"][0]:
        series.append(Series("Llama 3 8B", [(float(demand), LLAMA_TOKENS / LLAMA_PARAMETERS)]))  # type: ignore[arg-type]
    return [
        Figure(
            "lines", "Tokens a parameter of the cheapest model with Llama 3 8B's loss",
            "By the law of Besiroglu et al. 2024, extrapolated.", "tokens of inference", "tokens a parameter",
            log_x=True, log_y=True, series=series,
        )
    ]  # fmt: skip
