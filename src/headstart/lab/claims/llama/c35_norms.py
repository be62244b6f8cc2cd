"""C35: is RMSNorm as good as LayerNorm, and cheaper?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import decoder
from headstart.lab.rules import Every, Gain, Same
from headstart.lab.runs import RunSpec

CLAIM = Claim(
    id="C35",
    chapter="Llama",
    title="RMSNorm is as good as LayerNorm and cheaper",
    statement="A model with RMSNorm reaches the loss of one with LayerNorm, and the norm takes less time.",
    quantity="held-out loss in nats a token; processor seconds of a forward and backward pass through the "
    "norm",
    lesson='"About 10 % faster" is a whole step\'s in code without fused kernels; what a norm costs '
    "depends on how it is "
    "written, and where one kernel does all of it the mean costs nothing.",
    sources=(
        Source("Zhang & Sennrich 2019", "arXiv 1910.07467", "7 to 64 % of running time saved", "memory"),
    ),
    confounders=(
        "Time is that of torch's kernels on this processor: LayerNorm has a fused one, RMSNorm may have "
        "none.",
        "Rates are those of the usual recipe for both.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6, exclusive=True),
    "full": Level(seeds=8, minutes=100, tokens=6e6, shape="S", exclusive=True),
}
RULE = Every(
    Same("rmsnorm.nats - layernorm.nats", 0.02, "nats"),
    Gain("rmsnorm.time saved", 10.0, "%"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder, and one with the other norm."""
    return {"rmsnorm": decoder(bench), "layernorm": decoder(bench, norm="layernorm")}


def measure(bench: Bench) -> Numbers:
    """Loss, with documents as units; and what RMSNorm saves of LayerNorm's time on 4,096 states of 512."""
    import torch

    from headstart.lab.measures.losses import causal_by_document, heldout_rows
    from headstart.lab.measures.speed import cpu_ratio, median
    from headstart.models.parts.norms import LayerNorm, RMSNorm

    numbers: dict[str, float | list[float]] = {
        "nats": causal_by_document(bench.run, heldout_rows(bench.make(bench.tokens)))
    }
    if bench.arm == "rmsnorm":
        torch.set_num_threads(1)
        states = torch.randn(4096, 512, requires_grad=True)
        root, layer = RMSNorm(512, 1e-5), LayerNorm(512, 1e-5, False)
        ratios = cpu_ratio(
            lambda: root(states).sum().backward(), lambda: layer(states).sum().backward(), rounds=21
        )
        numbers["time saved"] = 100 * (1 - median(ratios))
    return numbers
