"""What computes the rows of a step."""

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from headstart.generation.engine.request import ContextExceeded, GenerationRequest, Sink
from headstart.generation.engine.sequence import Sequence


@dataclass(frozen=True)
class Part:
    """The next tokens of a sequence, to be read in one step."""

    sequence: Sequence
    count: int

    @property
    def tokens(self) -> list[int]:
        read = self.sequence.read
        return self.sequence.row[read : read + self.count]

    @property
    def scores_prompt(self) -> bool:
        return self.sequence.request.prompt_logprobs and self.sequence.read < len(self.sequence.prompt)

    @property
    def wanted(self) -> list[bool]:
        """For each token whether the logits after it are."""
        if self.scores_prompt:
            return [True] * self.count
        return [False] * (self.count - 1) + [self.count == self.sequence.unread]


class Backend(Protocol):
    """A model that reads tokens of many sequences, and the memory of what they have read."""

    whole_prompts: bool
    """Whether it reads a prompt at once or not at all."""

    def sequence(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """A request as it will be read.

        Raises:
            ContextExceeded: it can never have the room that it needs.
        """

    def admit(self, sequence: Sequence) -> bool:
        """Give a sequence all the room that it may come to need, or say that there is not enough now."""

    def finds_prefixes(self, sequence: Sequence) -> bool:
        """Whether the beginning of its prompt was looked for among what is kept."""

    def read(self, parts: Many[Part]) -> list[Tensor | None]:
        """Read tokens; for each part the logits `[n, V]` after its last one, after each where the prompt is
        scored, and None where the part neither ends nor scores its row."""

    def slide(self, sequence: Sequence) -> None:
        """If the row is full, go on from its second half."""

    def release(self, sequence: Sequence) -> None:
        """Take the room back."""

    @property
    def cache_use(self) -> float:
        """The share of the room that sequences have, 0 to 1."""


def decoder_sequence(request: GenerationRequest, sink: Sink, context: int) -> Sequence:
    """A request to a decoder: of a longer prompt it reads the end if it slides, else it is refused.

    Raises:
        ContextExceeded: the prompt leaves no place for a token.
    """
    tokens, wanted = len(request.ids), request.config.max_new_tokens if request.writes else 0
    if request.slides:
        sequence = Sequence(request, request.ids, wanted, sink)
        sequence.begin = max(0, tokens - context)
        return sequence
    if tokens + min(wanted, 1) > context:
        raise ContextExceeded(
            f"the prompt has {tokens} tokens, and this model reads {context}, its answer among them; "
            "shorten the prompt"
        )
    return Sequence(request, request.ids, min(wanted, context - tokens), sink)


def no_room(needed: int, room: int) -> str:
    """What to say of a request that the whole cache cannot hold."""
    return (
        f"this request needs room for {needed} tokens, and the cache has {room}; ask for fewer tokens, or "
        "give the engine more cache_bytes"
    )
