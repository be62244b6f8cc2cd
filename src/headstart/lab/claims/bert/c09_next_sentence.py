"""C09: does it help to predict whether a second text follows the first?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import finetune_of, pretrain_of
from headstart.lab.rules import Every, Same
from headstart.lab.runs import RunSpec

TASKS = ("spam", "pos", "subjects")
LABELS = 1000
RATE = 0.15

CLAIM = Claim(
    id="C09",
    chapter="BERT",
    title="next-sentence prediction does not help",
    statement="A model that was pre-trained without next-sentence prediction is at most a point worse on "
    "every task, pairs of texts among them.",
    quantity="percent right after fine-tuning, with less without",
    lesson='"Hurts" is too strong: RoBERTa found it as good or slightly better without. It is not needed.',
    sources=(
        Source(
            "Liu et al. 2019 (RoBERTa)", "arXiv 1907.11692, table 2", "without it as good or slightly better"
        ),
        Source("Devlin et al. 2018", "arXiv 1810.04805, table 5", "without it worse on pairs"),
    ),
    confounders=(
        "With it, half of the rows are two texts that do not belong together, so texts are shorter; "
        "without it "
        "rows are whole. That is RoBERTa's comparison, and mixes the objective with the packing.",
        "Equal tokens read, equal masks, the same examples.",
        "The pair task is made of mails: half have the subject of another mail of their class.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=9, tokens=0.4e6),
    "full": Level(seeds=8, minutes=120, tokens=6e6, shape="S"),
}
RULE = Every(*(Same(f"{task}, with.right - {task}, without.right", 1.0, "points") for task in TASKS))


def arms(bench: Bench) -> dict[str, RunSpec]:
    """BERT with both objectives, fine-tuned on three tasks."""
    kinds = {"with": "next-sentence", "without": "masked"}
    bases = {
        name: pretrain_of(bench, {"family": "bert"}, {"kind": kind, "mask_rate": RATE})
        for name, kind in kinds.items()
    }
    return {
        f"{task}, {name}": finetune_of(bench, base, task, LABELS)
        for task in TASKS
        for name, base in bases.items()
    }


def measure(bench: Bench) -> Numbers:
    """Percent right of every test example."""
    from headstart.lab.fitting import read_answers

    return {"right": read_answers(bench.run)["right"]}
