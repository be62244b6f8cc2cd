"""The events of a run, as `metrics.jsonl` has them: what each kind tells, and in which unit.

`step` is the number of the update that was made last; times are seconds of training, without evaluations.
"""

from typing import Literal, NotRequired, TypedDict


class EventHead(TypedDict):
    """What every event has."""

    seq: int
    """Its number, which only grows."""
    time: float
    """When it was written, seconds since 1970."""
    step: int


class StepEvent(EventHead):
    """A step was made; of word vectors a step is a pass over the text."""

    kind: Literal["step"]
    seconds: float
    core_seconds: NotRequired[float]
    learning_rate: NotRequired[float]
    """Of the matrices, where there are several."""
    loss: NotRequired[float]
    """Nats a target; of GloVe the mean over cells."""
    gradient_norm: NotRequired[float]
    tokens: NotRequired[int]
    """Read since the run began; `words` likewise."""
    step_tokens: NotRequired[int]
    words: NotRequired[int]
    tokens_per_second: NotRequired[float]
    words_per_second: NotRequired[float]
    cells_per_second: NotRequired[float]
    mfu: NotRequired[float | None]
    """Operations over what matrix products reach on this machine; None: not measured."""
    memory_bytes: NotRequired[int]
    data_wait: NotRequired[float]
    """Seconds."""
    batch: NotRequired[int]
    """A hash of what was read."""
    cells: NotRequired[int]
    heldout_loss: NotRequired[float]
    """Of word2vec, after the pass."""
    predictions: NotRequired[int]


class DomainFigures(TypedDict):
    """What an evaluation found in the text of one domain."""

    loss: float
    bits_per_byte: float
    targets: int


class EvaluationEvent(EventHead):
    """The loss on the same held-out text every time, in nats a target."""

    kind: Literal["evaluation"]
    seconds: float
    core_seconds: NotRequired[float]
    loss: NotRequired[float]
    targets: NotRequired[int]
    """How many; not of the validation data of a fine-tuning."""
    tokens: NotRequired[int]
    words: NotRequired[int]
    bits_per_byte: NotRequired[float]
    perplexity: NotRequired[float]
    """Of ELMo."""
    layer_loss: NotRequired[float]
    """Of a distillation: from its teacher's states, a share of their mean square, or from its relations."""
    cosine: NotRequired[float]
    """Of a distillation: of the vectors of texts, its own and its teacher's."""
    agreement: NotRequired[float]
    """Of a distillation of labels: share of texts with its teacher's answer."""
    texts: NotRequired[int]
    score: NotRequired[float]
    """Of a fine-tuning: on some test examples, in `metric`, or on its validation data; it has no loss."""
    metric: NotRequired[str]
    domains: NotRequired[dict[str, DomainFigures]]


class TensorFigures(TypedDict):
    """How large a tensor's gradient and weights are, and its update over its weights."""

    gradient: float
    weight: float
    update: float


class StatisticsEvent(EventHead):
    """A look at every tensor, at the step before."""

    kind: Literal["statistics"]
    tensors: dict[str, TensorFigures]


class SpikeEvent(EventHead):
    """A step was out of the ordinary."""

    kind: Literal["spike"]
    why: str
    action: Literal["ignore", "skip", "rollback"]
    at: int
    """The step; `step` is where the run stands after the action."""


class ControlEvent(EventHead):
    """The control file was obeyed."""

    kind: Literal["control"]
    action: str
    factor: NotRequired[float]
    rate: NotRequired[float]


class NoteEvent(EventHead):
    """Something to know, in words."""

    kind: Literal["note"]
    text: str


class ResumeEvent(EventHead):
    """The run went on; events behind `after` are void."""

    kind: Literal["resume"]
    after: int


class EndEvent(EventHead):
    """All steps are made."""

    kind: Literal["end"]
    seconds: NotRequired[float]
    score: NotRequired[float]
    """Of a fine-tuning: on all test examples."""
    changed_by_control: NotRequired[bool]
    """Whether somebody changed a learning rate by hand."""


Event = (
    StepEvent
    | EvaluationEvent
    | StatisticsEvent
    | SpikeEvent
    | ControlEvent
    | NoteEvent
    | ResumeEvent
    | EndEvent
)
