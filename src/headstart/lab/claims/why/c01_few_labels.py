"""C01: is a model that was pre-trained worth more than labels, where labels are few?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import encoder, finetune_of
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec

TASKS = ("pos", "spam")
LABELS = (100, 1000)

CLAIM = Claim(
    id="C01",
    chapter="why",
    title="with few labels, pre-train + fine-tune beats training from scratch",
    statement="With a hundred labelled examples a model that was pre-trained and then fine-tuned is better "
    "than the same model trained on the examples alone.",
    quantity="percent right on test examples, by number of labels, of four systems",
    lesson="The rival is not random weights alone. Counted vectors, which nobody calls pre-training, and "
    "counted words without a network are much of the way on topics; where word order decides they are not.",
    sources=(
        Source(
            "Howard & Ruder 2018 (ULMFiT)",
            "arXiv 1801.06146",
            "with 100 labels as good as from scratch with 100 times as many",
            "abstract",
        ),
    ),
    confounders=(
        "Random weights have a learning rate of their own.",
        "All systems of a seed learn from the same examples.",
        "`static` is the start of the pre-trained model, with no step of training: what counting alone "
        "gives.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=9, tokens=0.4e6),
    "full": Level(seeds=5, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    *(Gain(f"{task} 100 pre-trained.right - {task} 100 random.right", 3.0, "points") for task in TASKS)
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Four systems, two numbers of labels, two tasks."""
    base = encoder(bench)
    found = {}
    for task in TASKS:
        for labels in LABELS:
            for start in ("pre-trained", "static", "random"):
                found[f"{task} {labels} {start}"] = finetune_of(bench, base, task, labels, start)
            found[f"{task} {labels} counted words"] = finetune_of(bench, None, task, labels)
    return found


def measure(bench: Bench) -> Numbers:
    """Percent right of every test example."""
    from headstart.lab.fitting import read_answers

    return {"right": read_answers(bench.run)["right"]}


def picture(evidence: Evidence) -> list[Figure]:
    """All systems."""
    import numpy as np

    bars = [
        (name.removesuffix(".right"), float(np.mean(np.asarray(values, float))))
        for name, values in evidence.items()
    ]
    return [Figure("bars", "Right answers, by task, labels and system", y="percent", bars=bars)]
