"""What is measured: one cell is one system, fitted to so many labels with one seed, and its score."""

from collections.abc import Iterator
from dataclasses import dataclass

# Of the parts that give labelled data: the folder of the data, and the numbers of labels (None: all of them).
DATA = {
    "reviews": ("reviews", (100, 300, 1000, 5000, 25000)),
    "topics": ("topics", (100, 1000, None)),
    "entities": ("ner", (None, 1000)),
    "pos": ("pos", (100, None)),
    "pairs": ("pairs", (None, 1000)),
    "questions": ("qa", (1000,)),
    "wikipedia": ("qa/wikipedia", (None,)),
}
OWN, MIX, SCRATCH = "own", "own with scalar mix", "own from random weights"
MINILM, TRAINER = "minilm", "minilm by transformers' Trainer"
CHEAP = ("tf-idf", "majority")
VECTORS = ("word2vec", "elmo")
FAMILIES = ("encoder", "decoder", "encoder-decoder")

SYSTEMS = {
    "reviews": (*CHEAP, OWN, MIX, SCRATCH, MINILM, TRAINER, *VECTORS),
    "topics": (*CHEAP, OWN, MIX, SCRATCH, MINILM, TRAINER, *VECTORS),
    "entities": (*CHEAP, MINILM, TRAINER, OWN, SCRATCH, *VECTORS),
    "pos": (*CHEAP, OWN, MIX, SCRATCH, MINILM, TRAINER, *VECTORS),
    "pairs": (*CHEAP, MINILM, TRAINER, OWN, SCRATCH, *VECTORS),
    "questions": (*CHEAP, MINILM, OWN, SCRATCH),
    "wikipedia": (*CHEAP, MINILM, OWN, SCRATCH),
}
SEEDS = 3  # up to `FEW` labels, above them one
FEW = 1000
# Every family, pre-trained with the same compute, learns from so many labels of each task.
FAMILY_LABELS = {
    "reviews": 1000,
    "topics": 1000,
    "entities": 1000,
    "pos": 1000,
    "pairs": 1000,
    "wikipedia": None,
}
PARTS = (*DATA, "families")


@dataclass(frozen=True)
class Cell:
    """One measurement."""

    part: str
    task: str
    labels: int | None
    system: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        words = [self.part, self.task, str(self.labels or "all"), self.system, str(self.seed)]
        return "-".join("".join(c if c.isalnum() else "_" for c in word) for word in words)


def cells_of(part: str) -> Iterator[Cell]:
    """The cells of a part, those with few labels and of the cheap systems first."""
    if part == "families":
        for task, labels in FAMILY_LABELS.items():
            for family in FAMILIES:
                yield Cell(part, task, labels, family, 0)
        return
    for labels in DATA[part][1]:
        for system in SYSTEMS[part]:
            few = labels is not None and labels <= FEW
            for seed in range(SEEDS if few and system != "majority" else 1):
                yield Cell(part, part, labels, system, seed)
