"""C32: how much more than the forward pass does the backward pass cost?"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact, Within

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.models.transformer import Transformer

SHAPES = ((2, 128, 128, 16), (2, 256, 128, 8), (4, 192, 256, 4), (4, 256, 64, 16))
"""Layers, width, tokens in a row, rows."""

CLAIM = Claim(
    id="C32",
    chapter="training",
    title="backward is about twice the forward pass",
    statement="The backward pass takes about twice the work and twice the time of the forward pass.",
    quantity="backward over forward: counted operations, and processor seconds of one thread",
    lesson="Twice the matrix products, exactly. Recomputing activations makes it three times, an optimiser "
    "comes on top.",
    sources=(Source("Kaplan et al. 2020", "arXiv 2001.08361, section 2.1", "backward about twice forward"),),
    confounders=(
        "Time is that of these kernels on this processor; a small vocabulary keeps the output layer out of "
        "it.",
        "A control times the same forward pass against itself: where that is not 1 within 5 %, the machine "
        "was too "
        "busy to say anything.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=1, exclusive=True),
    "full": Level(seeds=5, minutes=3, exclusive=True),
}
RULE = Every(
    Exact("operations", 0.01, against=2.0),
    Within("seconds", 1.5, 2.5),
    Within("control", 0.95, 1.05),
)


def measure(bench: Bench) -> Numbers:
    """Four shapes of a decoder; units: shapes, of each the median of nine rounds."""
    import torch

    from headstart.lab.measures.counting import VOCABULARY, counted_flops
    from headstart.lab.measures.speed import cpu_ratio, forward_and_backward, median
    from headstart.models.registry import make_config
    from headstart.models.transformer import build

    torch.set_num_threads(1)
    operations, seconds, control = [], [], []
    for layers, width, row, rows in SHAPES:
        sizes = {"layers": layers, "width": width, "heads": 4, "feedforward_width": 2 * width, "context": row}
        config = make_config("headstart-decoder", sizes | {"vocab_size": VOCABULARY})
        forward, backward = counted_flops(config, 2, 32)
        operations.append(backward / forward)
        loss = forward_pass(build(config, bench.seed), torch.randint(0, VOCABULARY, (rows, row)))
        times = forward_and_backward(loss)
        seconds.append(median(times[1]) / median(times[0]))
        control.append(median(cpu_ratio(loss, loss)))
    return {"operations": operations, "seconds": seconds, "control": control}


def forward_pass(model: "Transformer", ids: "Tensor") -> "Callable[[], Tensor]":
    """A forward pass, to be repeated."""
    return lambda: model.logits(model(ids)).square().mean()


def picture(evidence: Evidence) -> list[Figure]:
    """The ratio of every shape."""
    rows = []
    for place, shape in enumerate(SHAPES):
        found = [[seed[place] for seed in values] for values in evidence.values()]  # type: ignore[index]
        name = f"{shape[0]} layers of {shape[1]}, {shape[3]} rows of {shape[2]}"
        rows.append([name, *(f"{sum(column) / len(column):.3f}" for column in found)])
    columns = ("shape", "operations", "processor seconds", "control")
    return [Figure("table", "Backward over forward", columns=columns, rows=rows)]
