"""C13: does any score change when later tokens change?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact, Within

CLAIM = Claim(
    id="C13",
    chapter="GPT",
    title="no token sees the future",
    statement="In a causal model no score depends on later tokens.",
    quantity="largest change of any earlier score when all later tokens are replaced",
    sources=(Source("Radford et al. 2018", "OpenAI, section 3.1", "a decoder with masked self-attention"),),
    confounders=(
        "Rows of equal shape: with other shapes a matrix product may add in another order and round "
        "differently.",
        "Encoders are the control: their scores have to change, or the measure sees nothing.",
        "With a cache the future does not exist yet; its scores are compared with those of one pass.",
    ),
)
LEVELS = {"quick": Level(seeds=3, minutes=1), "full": Level(seeds=5, minutes=2)}
RULE = Every(
    Exact("change of a decoder's past", 0.0),
    Exact("cache against one pass", 1e-5),
    Within("least change of an encoder", 1e-3, float("inf")),
)


def measure(bench: Bench) -> Numbers:
    """Every family with random weights of this seed, on held-out text; units: families."""
    import torch

    from headstart.lab.measures.exactness import (
        DECODERS,
        READING,
        WRITING,
        cache_deviation,
        change_of_the_past,
        small,
    )

    ids = torch.tensor(list(bench.rows(32, 4)))
    return {
        "change of a decoder's past": [
            change_of_the_past(small(name, bench.seed, 4096), ids, 20, bench.seed) for name in DECODERS
        ],
        "change of an encoder-decoder's past": [
            change_of_the_past(small(name, bench.seed, 4096), ids, 20, bench.seed)
            for name in WRITING
            if name not in DECODERS
        ],
        "cache against one pass": [cache_deviation(small(name, bench.seed, 4096), ids) for name in DECODERS],
        "least change of an encoder": min(
            change_of_the_past(small(name, bench.seed, 4096), ids, 20, bench.seed) for name in READING
        ),
    }


def picture(evidence: Evidence) -> list[Figure]:
    """The largest change of every decoder."""
    from headstart.lab.measures.exactness import DECODERS

    rows = []
    for place, name in enumerate(DECODERS):
        change = max(seed[place] for seed in evidence["change of a decoder's past"])  # type: ignore[index]
        cached = max(seed[place] for seed in evidence["cache against one pass"])  # type: ignore[index]
        rows.append([name, f"{change:g}", f"{cached:.1e}"])
    control = min(evidence["least change of an encoder"])
    rows.append(["encoders, the control: at least", f"{control:.2g}", "–"])
    columns = ("family", "change of earlier scores", "cache against one pass, relative")
    return [Figure("table", "What later tokens change", columns=columns, rows=rows)]
