"""What the benchmark measures: a cell is one system, fitted to one sample of so many labels of a task."""

from collections.abc import Iterator
from dataclasses import dataclass

TASKS = {"reviews": "reviews", "topics": "topics", "entities": "ner", "pos": "pos", "pairs": "pairs"}
"""Task to the folder of its data, which holds `train.jsonl.gz` and `dev.jsonl.gz`."""
LABELS = (100, 300, 1000, 5000)
BUDGETS = (1, 4, 16, 64)
SAMPLES = 5

RANDOM, STATIC, COUNTED = "random", "static", "counted"
MINILM, MINILM_FROZEN, FOUNDATION = "minilm", "minilm frozen", "foundation"
OTHERS = (COUNTED, RANDOM, STATIC, MINILM_FROZEN, MINILM, FOUNDATION)


def own(budget: int) -> str:
    """The system that was pre-trained for so many times the smallest budget."""
    return f"own {budget}x"


@dataclass(frozen=True)
class Cell:
    """One measurement. The sample says which examples are learned from, the same ones for every system."""

    task: str
    labels: int
    system: str
    sample: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.task}-{self.labels}-{self.system.replace(' ', '_')}-{self.sample}"


def cells(tasks: list[str], labels: list[int], systems: list[str], samples: int) -> Iterator[Cell]:
    """All cells, the first sample of everything before the second of anything, few labels first."""
    for sample in range(samples):
        for count in sorted(labels):
            for task in tasks:
                for system in systems:
                    yield Cell(task, count, system, sample)
