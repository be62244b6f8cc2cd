"""The compiled decoder as the engine's backend: rows of any sequences in one call, bitwise as each alone."""

from collections.abc import Sequence as Many

from torch import Tensor

from headstart.generation.cpu_decoder import CPUDecoder, TextCache
from headstart.generation.cpu_library import BLOCK
from headstart.generation.engine.backend import Part
from headstart.generation.engine.request import ContextExceeded, GenerationRequest, Sink
from headstart.generation.engine.sequence import Sequence


class CompiledRows:
    """See `Backend`."""

    whole_prompts = False

    def __init__(self, decoder: CPUDecoder, cache_bytes: int) -> None:
        self.decoder = decoder
        config = decoder.model.config
        self.context = config.context
        per_token = decoder.block_size * decoder.model.dtype.itemsize // BLOCK
        self.room = cache_bytes // per_token
        """Tokens of all sequences together."""
        self.taken: dict[Sequence, int] = {}
        self.caches: dict[Sequence, TextCache] = {}

    def sequence(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """See `Backend`."""
        sequence = decoder_sequence(request, sink, self.context)
        needed = self._needed(sequence)
        if needed > self.room:
            raise ContextExceeded(
                f"this request needs room for {needed} tokens, and the cache has {self.room}; ask for fewer "
                "tokens, or give the engine more cache_bytes"
            )
        return sequence

    def _needed(self, sequence: Sequence) -> int:
        return min(sequence.length + sequence.longest, self.context)

    def admit(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        needed = self._needed(sequence)
        if sum(self.taken.values()) + needed > self.room:
            return False
        self.taken[sequence] = needed
        self.caches[sequence] = self.decoder.cache()
        return True

    def finds_prefixes(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        return False

    def read(self, parts: Many[Part]) -> list[Tensor | None]:
        """See `Backend`."""
        logits = self.decoder.read_rows(
            [self.caches[part.sequence] for part in parts],
            [part.tokens for part in parts],
            [part.wanted for part in parts],
        )
        return [found if len(found) else None for found in logits]

    def slide(self, sequence: Sequence) -> None:
        """See `Backend`."""
        if sequence.length > self.context:
            sequence.slide(max(1, self.context // 2))
            self.caches[sequence] = self.decoder.cache()

    def release(self, sequence: Sequence) -> None:
        """See `Backend`."""
        del self.caches[sequence], self.taken[sequence]

    @property
    def cache_use(self) -> float:
        """See `Backend`."""
        return sum(self.taken.values()) / self.room


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
