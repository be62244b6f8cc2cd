"""What a task model's folder says of itself: one typed, versioned object, under `headstart` in
`config.json`."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tasks.examples import Reading

VERSION = 1
"""Of the format; folders written before there were versions have 0, and the same keys."""


@dataclass(frozen=True)
class LayerWeights:
    """How a scalar mix weighs the layers of the body (Peters et al. 2018, equation 1)."""

    gamma: float
    weights: list[float]
    """One a layer, from the embeddings up; the sum is 1."""


@dataclass(frozen=True)
class Training:
    """How a fine-tuning went. What has a default may be missing in folders from before there were
    versions."""

    examples: int
    """Of the training data."""
    steps: int
    seed: int
    from_scratch: bool
    adapt: str = "full"
    """The recipe's `adapt`: which weights learned."""
    validation_examples: int = 0
    learning_weights: int = 0
    """How many weights learned."""
    learning_rate: float | None = None
    """The peak at the head."""
    tokens: int = 0
    """Read in all steps together."""
    passes: int = 0
    """Examples read in all steps together."""
    seconds: float = field(default=0.0, compare=False)
    """Of learning; not kept in the folder, where the same fine-tuning has the same files."""
    last_loss: float = 0.0
    """Mean training loss over the last tenth of the steps."""
    left_out: int = 0
    """Examples that are longer than `max_tokens`, of a model that writes."""
    windowed_examples: int = 0
    """Examples that are longer than `max_tokens` and were read in windows."""
    embedding_held: bool = False
    """Whether the vectors of tokens stayed as they were while the other weights learned."""
    vectors_told: float | None = None
    """Share of the labels' entropy that the pre-trained vectors tell of held-out examples; None: not
    asked."""
    counts_told: float | None = None
    """The same of counted tokens."""
    counted_told: float | None = None
    """Share of the labels' entropy that counted words and characters beside the network tell of held-out
    examples; None: there are none."""
    network_share: float | None = None
    """How much the network's scores count beside those of counted words; None: as much as it says."""
    head_strength: float | None = None
    """The variance of weights at which the head was fitted to the body's states; None: it was not."""
    kept_step: int | None = None
    """After how many steps the weights were as the folder has them; None: there was nothing to choose by."""
    validation: list[dict[str, float]] | None = None
    """`step`, `score` on the validation data, and mean training `loss` since the line before."""


@dataclass(frozen=True)
class TaskFacts:
    """What has to be known, beside the weights, to answer with a task model."""

    max_tokens: int | None = None
    """Tokens that are read at once; None: another library made the model, and does not say."""
    in_words: bool = False
    """Whether labels, numbers and so on are written out as text."""
    labels: list[str] | None = None
    """The labels that a written answer may have; those of a head stand in `id2label`."""
    pairs: bool | None = None
    """Whether whole-text tasks read two texts; None: not known, or not such a task."""
    unanswerable: bool | None = None
    """Whether the training data had questions without an answer."""
    longest: int | None = None
    """Tokens of the longest answer that a model that writes has learned."""
    mean: float = 0.0
    """What an answer that is no number counts as, of numbers in words."""
    commonest: str = "O"
    """What a word without a tag is tagged, of tags in words."""
    reading: Reading | None = None
    """Which columns were learned from, and how their answers were written; None: another library made the
    model."""
    mix: LayerWeights | None = None
    training: Training | None = None
    """None: the folder does not say."""

    @classmethod
    def read(cls, said: Any, where: str) -> Self:
        """The facts in the `finetuning` part of a configuration; a folder that has none has no facts.

        Args:
            where: the file, for an error's sentence.

        Raises:
            HeadstartError: facts of a newer version, or of another type than they have.
        """
        if not isinstance(said, dict):
            return cls()
        version = said.get("version", 0)
        if not isinstance(version, int) or version > VERSION:
            raise HeadstartError(
                f"{where} holds task facts of version {version}, and this headstart reads up to {VERSION}; "
                "get a newer headstart"
            )
        own, how = (
            {field.name: said[field.name] for field in fields(part) if field.name in said}
            for part in (cls, Training)
        )
        try:
            return TypeAdapter(cls).validate_python(own | {"training": how if "examples" in how else None})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"] if part != "training")
            value, why = str(first["input"])[:40], first["msg"]
            raise HeadstartError(
                f"{where}: finetuning.{key} = {value!r} is wrong ({why}); fine-tune the model again"
            ) from None

    def as_dict(self) -> JSONObject:
        """The facts as `read` takes them: those of the training beside the others, None and the time that it
        took left out."""
        own = {name: value for name, value in asdict(self).items() if name != "training"}
        defaults = {field.name: field.default for field in fields(self)}
        own = {name: value for name, value in own.items() if value != defaults[name]}
        how = {} if self.training is None else asdict(self.training)
        how.pop("seconds", None)
        return {"version": VERSION} | {name: value for name, value in how.items() if value is not None} | own
