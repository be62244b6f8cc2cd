"""C05: is a model that learns as a whole better than a head on one that stays as it is?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import encoder, finetune_of
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec

TASKS = ("pos", "spam")
LABELS = (100, 1000)
WAYS = ("full", "frozen", "mix")

CLAIM = Claim(
    id="C05",
    chapter="context",
    title="fine-tuning the whole model beats frozen features",
    statement="Fine-tuning all weights gives a better model than a head on frozen states, be they of the "
    "last layer or a learned mix of all.",
    quantity="percent right on test examples, all weights less the better of both frozen ways",
    lesson='"Consistently better" is too strong: which one wins depends on the task, by a point or two.',
    sources=(
        Source(
            "Peters, Ruder & Smith 2019",
            "arXiv 1903.05987",
            "depends on how near task and pre-training are",
            "abstract",
        ),
    ),
    confounders=(
        "Each way has the toolkit's own rates and number of steps; the head's strength is chosen on the "
        "training examples.",
        "The rival is the better of two, chosen by its result: that is to its favour.",
        "Same examples for all ways of a seed.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=8, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    *(Gain(f"{task} {labels}, full above frozen", 1.0, "points") for task in TASKS for labels in LABELS)
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Three ways, two numbers of labels, two tasks."""
    base = encoder(bench)
    return {
        f"{task} {labels} {way}": finetune_of(bench, base, task, labels, adapt=way)
        for task in TASKS
        for labels in LABELS
        for way in WAYS
    }


def measure(bench: Bench) -> Numbers:
    """Percent right over all test examples."""
    import numpy as np

    from headstart.lab.fitting import read_answers

    return {"right": np.mean(read_answers(bench.run)["right"])}


def together(evidence: Evidence) -> Evidence:
    """All weights less the better frozen way, seed by seed."""
    found = {}
    for task in TASKS:
        for labels in LABELS:
            full, frozen, mix = (evidence[f"{task} {labels} {way}.right"] for way in WAYS)
            found[f"{task} {labels}, full above frozen"] = [
                float(one) - max(float(a), float(b))  # type: ignore[arg-type]
                for one, a, b in zip(full, frozen, mix, strict=True)
            ]
    return found


def picture(evidence: Evidence) -> list[Figure]:
    """All three ways."""
    import numpy as np

    bars = [
        (name.removesuffix(".right"), float(np.mean(np.asarray(values, float))))
        for name, values in evidence.items()
        if name.endswith(".right")
    ]
    return [Figure("bars", "Right answers, by task, labels and what learns", y="percent", bars=bars)]
