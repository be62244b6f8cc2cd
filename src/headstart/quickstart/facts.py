"""What a quickstart's report holds: `report.json`, typed. What a run did not come to is missing or empty."""

from typing import TYPE_CHECKING

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus_folder import Totals
from headstart.tasks.finetuning.head_start_points import HeadStartPoint

if TYPE_CHECKING:  # it loads torch
    from headstart.training.machine import Machine


class Asked(TypedDict):
    """What the user asked for, as `quickstart.yaml` has it."""

    minutes: float
    data: list[str]
    labels: str | None
    seed: int


class StageTime(TypedDict):
    """A stage and how long it took, in seconds."""

    stage: str
    seconds: float


class CountedStage(TypedDict, total=False):
    """What a stage left."""

    stage: str
    documents: int
    bytes: int
    words: int
    tokens: int | None


class TokenizedText(TypedDict):
    """A text and its tokens, as they are shown."""

    text: str
    tokens: list[str]


class TokenizerFacts(TypedDict, total=False):
    """The tokenizer, and how it cuts some texts."""

    vocab_size: int
    bytes_per_token: float
    leaked: int
    """Held-out documents that were left out, because the training text has a part of them, too."""
    examples: list[TokenizedText]


class LossPoint(TypedDict, total=False):
    """The loss at a moment of a run; in evaluations with bits a byte."""

    step: int
    tokens: int
    seconds: float
    loss: float
    bits_per_byte: float


class WrittenText(TypedDict, total=False):
    """What a model wrote behind a prompt after so many steps."""

    step: int
    tokens: int
    prompt: str
    text: str


class Guess(TypedDict):
    """A token for a gap, with its probability."""

    token: str
    probability: float


class FilledGap(TypedDict, total=False):
    """A text with `[MASK]` in it, the token that stood there, and the model's guesses."""

    text: str
    truth: str
    predictions: list[Guess]


class PretrainedModel(TypedDict, total=False):
    """What a pre-training run reached."""

    model: str
    """encoder or decoder"""
    family: str
    objective: str
    layers: int
    width: int
    parameters: int
    tokens: int
    seconds: float
    flops: float
    bits_per_byte: float
    loss: float
    first_loss: float
    ln_vocab: float
    curve: list[LossPoint]
    evals: list[LossPoint]
    samples: list[WrittenText]
    fills: list[FilledGap]


class TaskFacts(TypedDict, total=False):
    """A task and its data."""

    kind: str
    labels: list[str]
    train_examples: int
    test_examples: int
    metric: str
    notes: list[str]


class Price(TypedDict, total=False):
    """What something cost; of a fine-tuning with its task and number of labels."""

    task: str
    labels: int
    seconds: float
    flops: float


class Cost(TypedDict, total=False):
    """What is paid once, and what every task pays."""

    shared: Price
    per_task: list[Price]


class Report(TypedDict, total=False):
    """All that a quickstart found."""

    headstart: str
    """The version that measured."""
    created: str
    seconds: float
    minutes_asked: float
    machine: "Machine"
    stages: list[StageTime]
    funnel: list[CountedStage]
    removed: dict[str, dict[str, int]]
    skipped: dict[str, int]
    domains: dict[str, dict[str, int]]
    languages: dict[str, Totals]
    tokenizer: TokenizerFacts
    pretraining: list[PretrainedModel]
    head_start: list[HeadStartPoint]
    tasks: dict[str, TaskFacts]
    cost: Cost
    recipe: str
    versions: dict[str, str]
    notes: list[str]
    warnings: list[str]
    """What the plan said beforehand of what would not pay."""
