"""What is asked of the engine, and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds

Finish = Literal["stop", "length", "cancelled", "error"]
"""Why a text ends: a stop token; it is as long as it may be; the asker left; it could not go on."""


class Grammar(Protocol):
    """Which tokens may come next, such as those that go on with JSON of a schema. One text's own."""

    def mask(self, logits: Tensor) -> None:
        """Set what may not come next to minus infinity, in place, in logits `[V]`."""

    def advance(self, token: int) -> None:
        """The text goes on with this token; a stop token ends it and is not told."""


@dataclass(frozen=True)
class GenerationRequest:
    """One text to be written, or a prompt to be scored. `n` texts for a prompt are `n` requests."""

    ids: Sequence[int]
    """What is read first: a decoder's prompt, an encoder-decoder's source; special tokens and all."""
    config: GenerationConfig
    """How the text is drawn. Stop strings are text, and up to the asker: who found one cancels. One beam."""
    model_ids: ModelIds
    """Ids with which the model's texts begin and end: `ModelIds.of(loaded, config.stop_tokens)`."""
    index: int = 0
    """Which of the `n` texts for its prompt this is: each draws by the seed and its index."""
    writes: bool = True
    """False: nothing is written, the prompt is read and scored."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these ids, at every place."""
    top_logprobs: int | None = None
    """Of how many likeliest tokens to tell the log-probability, beside the chosen one's; None: of none."""
    prompt_logprobs: bool = False
    """Score the prompt's tokens too, with as many likeliest ones. Such a request reads all of its prompt."""
    grammar: Grammar | None = None
    salt: str = ""
    """Prompts share what was computed for their common beginning only under the same salt."""
    slides: bool = False
    """A decoder's full row goes on from its second half, instead of ending at the context's end."""

    def __post_init__(self) -> None:
        if self.config.beams > 1:
            raise HeadstartError("the engine writes one text a request; beam search is generate's")
        if not self.ids:
            raise HeadstartError("a prompt without tokens gives the model nothing to go on from")
        if not self.writes and not self.prompt_logprobs:
            raise HeadstartError("a request that writes nothing asks for prompt_logprobs, or for nothing")


@dataclass(frozen=True)
class Scored:
    """A token and how likely it was, in nats, before temperature, penalties and biases."""

    token: int
    logprob: float | None
    """None where it was not asked for, and of a prompt's first token."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens with their log-probabilities, the likeliest first."""


@dataclass(frozen=True)
class Event:
    """What one step adds to a text."""

    scored: Scored | None
    """The token that was written; None where the text ended without one more."""
    finish: Finish | None = None
    """Set in the last event of a text."""
    stop_token: int | None = None
    """Which token ended the text."""
    stop_scored: Scored | None = None
    """The same with how likely it was, as written tokens have it."""
    error: str | None = None
    """One sentence, where `finish` is "error"."""


Sink = Callable[[Event], None]
"""Takes the events of one request, in the thread of the engine: it may not wait."""


class ContextExceeded(HeadstartError):
    """A prompt, or prompt and answer, that the model or the cache can never hold."""


class QueueFull(HeadstartError):
    """As many requests wait as may."""


class ShuttingDown(HeadstartError):
    """The engine takes no more requests."""


class EngineFailed(HeadstartError):
    """The engine's thread ended by a fault of its own."""
