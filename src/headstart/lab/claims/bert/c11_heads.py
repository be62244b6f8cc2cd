"""C11: does one checkpoint serve several kinds of task, with nothing but another head?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import encoder, finetune_of
from headstart.lab.rules import Beyond, Every, Evidence, Gain, Within
from headstart.lab.runs import RunSpec

TASKS = {"classification": "spam", "tagging": "pos", "sentence pairs": "subjects"}
LABELS = 1000

CLAIM = Claim(
    id="C11",
    chapter="BERT",
    title="one checkpoint serves classification, tagging, question answering and sentence pairs, only the "
    "head changes",
    statement="One pre-trained model, with a new head of less than 1 % of its weights, is at least five "
    "points above the commonest answer on every kind of task.",
    quantity="percent right less that of the commonest answer; weights of the head over those of the model",
    lesson="The head is what is new, not what learns: all weights are fine-tuned, a model a task.",
    scale="Question answering takes tens of thousands of questions (SQuAD) and a model of BERT's size.",
    sources=(Source("Devlin et al. 2018", "arXiv 1810.04805, figure 4", "four kinds of task, one model"),),
    confounders=(
        "The commonest answer of a word is its own commonest tag, which is a strong rival.",
        "Pairs are subjects and bodies of mails, half of them swapped within a class.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=4, tokens=0.4e6),
    "full": Level(seeds=5, minutes=40, tokens=6e6, shape="S"),
}
RULE = Every(
    *(Gain(f"{kind}.right - {kind}.commonest answer", 5.0, "points") for kind in TASKS),
    *(Within(f"{kind}.weights added", 0.0, 1.0, "%") for kind in TASKS),
    Beyond("question answering", "the samples hold no questions; BERT answers 88 % of SQuAD's from 88,000"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """One encoder, three tasks."""
    base = encoder(bench)
    return {kind: finetune_of(bench, base, task, LABELS) for kind, task in TASKS.items()}


def measure(bench: Bench) -> Numbers:
    """Both scores by test example, and the size of the head."""
    from headstart.lab.fitting import read_answers

    found = read_answers(bench.run)
    return {
        "right": found["right"],
        "commonest answer": found["majority"],
        "weights added": found["added"],
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Every task beside its commonest answer."""
    import numpy as np

    bars = [
        (f"{kind}: {name}", float(np.mean(np.asarray(evidence[f"{kind}.{name}"], float))))
        for kind in TASKS
        for name in ("right", "commonest answer")
    ]
    return [Figure("bars", "Right answers of one checkpoint", y="percent", bars=bars)]
