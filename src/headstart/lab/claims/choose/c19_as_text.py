"""C19: can every task be text in and text out?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import encoder, finetune_of, pretrain_of
from headstart.lab.rules import Every, Evidence, Gain, Same, Within
from headstart.lab.runs import RunSpec

TASKS = {"packages": "section", "tags": "pos"}
LABELS = 1000

CLAIM = Claim(
    id="C19",
    chapter="choose",
    title="every task can be text to text",
    statement="An encoder-decoder that writes its answers as words is above the commonest answer and at "
    "most two points below an encoder with a head.",
    quantity="percent of written answers that are labels at all; percent right, less the commonest answer; "
    "and below a model with a head",
    lesson="That it can be done is a matter of form. Whether it is as good takes a model that has learned to "
    "write: a head of a few hundred weights is learned from few examples, writing is not.",
    scale="T5's small model: 60 million parameters, 34 billion tokens.",
    sources=(
        Source("Raffel et al. 2020 (T5)", "arXiv 1910.10683", "one model, one form, many tasks", "abstract"),
    ),
    confounders=(
        "What cannot be read counts as wrong.",
        "The model that writes reads and writes 128 tokens: descriptions of packages fit, the tags of one "
        "sentence in twenty are longer and not learned.",
        "The rival has a head and is an encoder of the laboratory, not the same model.",
        "BART's shape and objective, which need no other tokenizer; T5's differ in what is hidden.",
        "As many tokens read in pre-training; an encoder-decoder has more weights for them.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=10, tokens=0.4e6),
    "full": Level(seeds=5, minutes=100, tokens=6e6, shape="S"),
}
RULE = Every(
    Within("packages as text.readable", 95.0, float("inf"), "%"),
    *(Gain(f"{name} as text.right - {name} as text.commonest answer", 3.0, "points") for name in TASKS),
    *(Same(f"{name} with a head.right - {name} as text.right", 2.0, "points") for name in TASKS),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """BART's shape writing, and an encoder with a head."""
    writer = pretrain_of(bench, {"family": "bart"}, {"kind": "denoising"})
    reader = encoder(bench)
    written = {
        f"{name} as text": finetune_of(bench, writer, task, LABELS, in_words=True)
        for name, task in TASKS.items()
    }
    return written | {
        f"{name} with a head": finetune_of(bench, reader, task, LABELS) for name, task in TASKS.items()
    }


def measure(bench: Bench) -> Numbers:
    """Scores by test example."""
    from headstart.lab.fitting import read_answers

    found = read_answers(bench.run)
    return {
        "right": found["right"],
        "commonest answer": found["majority"],
        "readable": found["readable"],
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Both ways beside the commonest answer."""
    import numpy as np

    def mean(name: str) -> float:
        return float(np.mean(np.asarray(evidence[name], float)))

    bars = [
        (f"{name}: {said}", mean(f"{name} {key}"))
        for name in TASKS
        for said, key in (
            ("as text", "as text.right"),
            ("with a head", "with a head.right"),
            ("commonest answer", "as text.commonest answer"),
        )
    ]
    return [Figure("bars", "Right answers", y="percent", bars=bars)]
