"""C12: is a text's probability in one pass the product of its single steps?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source, largest
from headstart.lab.rules import Every, Evidence, Exact

CLAIM = Claim(
    id="C12",
    chapter="GPT",
    title="the chain rule is exact",
    statement="The probability of a text is exactly the product of the probabilities of its tokens, each "
    "given "
    "those before it.",
    quantity="relative difference of a text's log-likelihood in one pass and as the sum over single steps",
    lesson="Exact in mathematics; a computer adds in another order, so here it holds to float32's rounding.",
    sources=(Source("Radford et al. 2018", "OpenAI, eq. 1", "the objective is this product"),),
    confounders=(
        "Computed in float32: bfloat16 rounds to three digits at every step and differs by more.",
        "Weights are random: what is compared is arithmetic, the same for any weights.",
    ),
)
LEVELS = {"quick": Level(seeds=3, minutes=1), "full": Level(seeds=5, minutes=2)}
RULE = Every(Exact("each prefix read anew", 1e-6), Exact("from the cache", 1e-6))


def measure(bench: Bench) -> Numbers:
    """Every family that writes, with random weights of this seed, on rows of held-out text; units:
    families."""
    import torch

    from headstart.lab.measures.exactness import DECODERS, WRITING, chain_rule_deviation, small

    ids = torch.tensor(list(bench.rows(32, 4)))
    models = {name: small(name, bench.seed, 4096) for name in WRITING}
    return {
        "each prefix read anew": {name: chain_rule_deviation(models[name], ids, False) for name in WRITING},
        "from the cache": {name: chain_rule_deviation(models[name], ids, True) for name in DECODERS},
    }


def picture(evidence: Evidence) -> list[Figure]:
    """The largest deviation of every family."""
    columns = {name: largest(values) for name, values in evidence.items()}
    anew = columns["each prefix read anew"]
    rows = [
        [name, *(f"{column[name]:.1e}" if name in column else "–" for column in columns.values())]
        for name in anew
    ]
    return [Figure("table", "Largest relative difference", columns=("family", *columns), rows=rows)]
