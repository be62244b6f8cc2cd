"""What a duel has found, as its folder holds it. Read without torch."""

from pathlib import Path

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.folder import read_json

RESULT, ANSWERS = "duel.json", "answers"
CLASSIFICATION, GAPS, WRITING = "classification", "gaps", "writing"
TASKS = (CLASSIFICATION, GAPS, WRITING)


class Fighter(TypedDict):
    """One of the models, and what its pre-training took."""

    name: str
    family: str
    objective: str
    parameters: int
    flops: float
    """Operations of its pre-training."""
    tokens: int
    steps: int
    core_seconds: float


class DuelCell(TypedDict):
    """What a model scores on a task; without a value the reason why it has none."""

    model: str
    value: float | None
    low: float | None
    high: float | None
    reason: str | None


class PairedDifference(TypedDict):
    """How much higher the first of two scores on the same examples, with the paired interval of 95 %."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float


class DuelTask(TypedDict):
    """A task of the duel."""

    task: str
    metric: str
    higher: bool
    """Whether more is better."""
    n: int
    cells: list[DuelCell]
    pairs: list[PairedDifference]


class Duel(TypedDict):
    """What `duel.json` holds: the models, and the scoreboard as far as it is filled."""

    tokens: str
    labels: str
    wanted: list[str]
    """Of the models, those that there will be."""
    models: list[Fighter]
    tasks: list[DuelTask]


class DuelAnswer(TypedDict):
    """What a model says to one example."""

    number: int
    said: str
    value: float
    """1 where it is right and 0 where it is not; of writing the mean cost of a token in nats."""
    truth_bits: float | None
    """What the truth cost it, in bits; None: it gives no probabilities."""


class DuelExample(TypedDict):
    """One example of a task, the same for every model."""

    number: int
    text: str
    ids: list[int]
    """Tokens, without special ones; of a labelled text none."""
    texts: list[str]
    """Of each token."""
    place: int | None
    """Of the gap, or where the writing begins."""
    truth: str


class AnsweredExample(TypedDict):
    """An example with what every model says."""

    example: DuelExample
    answers: dict[str, DuelAnswer]


def read_duel(folder: Path) -> Duel:
    """The result of a duel as far as it has come.

    Raises:
        HeadstartError: there is none, or it is damaged.
    """
    return read_json(folder / RESULT, Duel)


def shown_examples(folder: Path, task: str) -> list[AnsweredExample]:
    """The examples of a task with the answers of every model that has answered.

    Raises:
        HeadstartError: a file of them is damaged.
    """
    file = folder / ANSWERS / f"{task}.json"
    examples = read_json(file, list[DuelExample]) if file.exists() else []
    found: list[AnsweredExample] = [{"example": one, "answers": {}} for one in examples]
    for path in sorted((folder / ANSWERS).glob(f"{task}-*.json")):
        name = path.stem.removeprefix(f"{task}-")
        for answer in read_json(path, list[DuelAnswer]):
            if answer["number"] < len(found):
                found[answer["number"]]["answers"][name] = answer
    return found
