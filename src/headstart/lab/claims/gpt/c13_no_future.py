"""C13: does any score change when later tokens change?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source, largest
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
    models = {name: small(name, bench.seed, 4096) for name in (*WRITING, *READING)}
    changes = {name: change_of_the_past(model, ids, 20, bench.seed) for name, model in models.items()}
    return {
        "change of a decoder's past": {name: changes[name] for name in DECODERS},
        "change of an encoder-decoder's past": {n: changes[n] for n in WRITING if n not in DECODERS},
        "cache against one pass": {name: cache_deviation(models[name], ids) for name in DECODERS},
        "least change of an encoder": min(changes[name] for name in READING),
    }


def picture(evidence: Evidence) -> list[Figure]:
    """The largest change of every decoder."""
    change, cached = (
        largest(evidence[name]) for name in ("change of a decoder's past", "cache against one pass")
    )
    rows = [[name, f"{change[name]:g}", f"{cached[name]:.1e}"] for name in change]
    control = min(float(seed) for seed in evidence["least change of an encoder"])  # type: ignore[arg-type]
    rows.append(["encoders, the control: at least", f"{control:.2g}", "–"])
    columns = ("family", "change of earlier scores", "cache against one pass, relative")
    return [Figure("table", "What later tokens change", columns=columns, rows=rows)]
