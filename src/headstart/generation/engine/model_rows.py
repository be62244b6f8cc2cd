"""The model itself as the engine's backend, where no compiled code covers it: PyTorch, on a CPU or a GPU.

All that is being written is one padded batch; what begins to be read is another one, which then joins it.
"""

from collections.abc import Sequence as Many

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.engine.backend import Part, decoder_sequence, no_room
from headstart.generation.engine.request import ContextExceeded, GenerationRequest, Sink
from headstart.generation.engine.sequence import Sequence
from headstart.generation.incremental import ModelReader
from headstart.models.transformer import Transformer


class ModelRows:
    """See `Backend`."""

    whole_prompts = True

    def __init__(self, model: Transformer, cache_bytes: int) -> None:
        self.model, config = model, model.config
        self.answers = config.architecture == "encoder-decoder"
        per_token = 2 * config.layers * config.kv_heads * config.head_width * model.dtype.itemsize
        self.room = cache_bytes // per_token
        """Tokens of all sequences together, without padding."""
        self.taken: dict[Sequence, int] = {}
        self.reader: ModelReader | None = None
        self.rows: list[Sequence] = []
        """Whose rows the reader has, in order; who was released may still be among them."""

    def sequence(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """See `Backend`."""
        sequence = (
            self._answer(request, sink)
            if self.answers
            else decoder_sequence(request, sink, self.model.config.context)
        )
        if self._tokens(sequence) > self.room:
            raise ContextExceeded(no_room(self._tokens(sequence), self.room))
        return sequence

    def _answer(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """A request to an encoder-decoder: it begins with a token of its own, once its source is read."""
        config, start = self.model.config, request.model_ids.decoder_start
        if request.prompt_logprobs or not request.writes:
            raise HeadstartError("an encoder-decoder answers its prompt, and cannot score it")
        assert start is not None
        bounded, wanted = config.position == "learned", request.config.max_new_tokens
        if bounded and len(request.ids) > config.context:
            raise ContextExceeded(
                f"a source of {len(request.ids)} tokens is longer than this model's {config.context} learned "
                "positions; cut it, or split it into windows"
            )
        return Sequence(request, [start], min(wanted, config.context) if bounded else wanted, sink)

    def _tokens(self, sequence: Sequence) -> int:
        """That may be kept at the same time: an encoder-decoder keeps its source too."""
        longest = sequence.length + sequence.longest
        if self.answers:
            return longest + len(sequence.request.ids)
        return min(longest, self.model.config.context)

    def admit(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        if sum(self.taken.values()) + self._tokens(sequence) > self.room:
            return False
        self.taken[sequence] = self._tokens(sequence)
        return True

    def finds_prefixes(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        return False

    def read(self, parts: Many[Part]) -> list[Tensor | None]:
        """See `Backend`."""
        self._leave()
        found: dict[Sequence, Tensor] = {}
        written = {part.sequence: part for part in parts if part.sequence.read}
        if written:
            assert self.reader is not None
            logits = self.reader.read([written[sequence].tokens for sequence in self.rows]).cpu()  # [B, V]
            found |= zip(self.rows, logits[:, None], strict=True)
        begun = [part for part in parts if not part.sequence.read]
        if begun:
            sources = [part.sequence.request.ids for part in begun] if self.answers else None
            reader = ModelReader(self.model, sources)
            states = reader.states([part.tokens for part in begun])  # [B, T, D], padded on the left
            for part, own in zip(begun, states, strict=True):
                wanted = own[-part.count :][torch.tensor(part.wanted)]  # [n, D]
                found[part.sequence] = reader.logits(wanted).cpu()
            if self.reader is None:
                self.reader = reader
            else:
                self.reader.join(reader)
            self.rows += [part.sequence for part in begun]
        return [found[part.sequence] for part in parts]

    def _leave(self) -> None:
        """Drop the rows of sequences that were released, or begin anew."""
        kept = [row for row, sequence in enumerate(self.rows) if sequence in self.taken and sequence.read]
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[row] for row in kept]
        if not kept:
            self.reader = None
        elif self.reader is not None:
            self.reader.keep(kept)

    def slide(self, sequence: Sequence) -> None:
        """See `Backend`."""
        context = self.model.config.context
        if not self.answers and sequence.length > context:
            sequence.slide(max(1, context // 2))

    def release(self, sequence: Sequence) -> None:
        """See `Backend`."""
        del self.taken[sequence]

    @property
    def cache_use(self) -> float:
        """See `Backend`."""
        return sum(self.taken.values()) / self.room
