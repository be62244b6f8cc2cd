"""C14: does temperature sharpen and flatten, and is its limit the greedy choice?"""

import math

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source, by_level
from headstart.lab.house import decoder
from headstart.lab.rules import Every, Evidence, Exact, Trend
from headstart.lab.runs import RunSpec

TEMPERATURES = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0)
COLD = 1e-6
DRAWS = 20
PLACES = 1000

CLAIM = Claim(
    id="C14",
    chapter="GPT",
    title="temperature sharpens or flattens; T to 0 is greedy",
    statement="A higher temperature makes the distribution over the next token flatter, a lower one "
    "sharper, at every "
    "place; near zero what is drawn is the likeliest token.",
    quantity="entropy in nats by temperature; least rise from one temperature to the next; draws at T = "
    "0.000001 that are "
    "not the likeliest token",
    sources=(
        Source("Ackley et al. 1985", "Cognitive Science 9", "temperature in a distribution of this form"),
    ),
    confounders=(
        "Places where two tokens are equally likely have no greedy choice: they are left out of the second "
        "part.",
        "Nothing else is done to the distribution: no top-k, no top-p.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=2, tokens=0.4e6),
    "full": Level(seeds=5, minutes=20, tokens=6e6, shape="S"),
}
RULE = Every(
    Trend(
        "decoder.entropy", 0.5, tuple(math.log(t) for t in TEMPERATURES), "nats, for e times the temperature"
    ),
    Exact("decoder.places where it does not rise", 0.0),
    Exact("decoder.draws that are not greedy", 0.0),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder."""
    return {"decoder": decoder(bench)}


def measure(bench: Bench) -> Numbers:
    """The distributions at places of held-out text."""
    import torch

    from headstart.generation.sampling import draw
    from headstart.lab.measures.losses import heldout_rows, model_of

    ids = torch.from_numpy(heldout_rows(bench.make(bench.tokens)).ids)[: PLACES // 100]
    model = model_of(bench.run)
    with torch.no_grad():
        scores = model.logits(model(ids)).double().flatten(0, 1)[:PLACES]  # [N, V]
    by_temperature = [torch.distributions.Categorical(logits=scores / t).entropy() for t in TEMPERATURES]
    entropies = torch.stack(by_temperature)  # [temperatures, N]
    best = scores.topk(2).values
    alone = scores[best[:, 0] > best[:, 1]]
    random = torch.Generator().manual_seed(bench.seed)
    wrong = 0
    for _ in range(DRAWS):
        uniforms = torch.rand(len(alone), generator=random, dtype=torch.float64)
        wrong += int((draw(alone / COLD, uniforms) != alone.argmax(-1)).sum())
    return {
        "entropy": entropies.mean(1),
        "places where it does not rise": float((entropies.diff(dim=0) <= 0).any(0).sum()),
        "draws that are not greedy": float(wrong),
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Entropy over temperature."""
    series = by_level("decoder", TEMPERATURES, evidence["decoder.entropy"])
    return [Figure("lines", "Entropy of the next token", x="temperature", y="nats", series=[series])]
