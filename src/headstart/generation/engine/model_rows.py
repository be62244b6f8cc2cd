"""The model itself as the engine's backend, where no compiled code covers it: PyTorch, on a CPU or a GPU."""

from collections.abc import Sequence as Many

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.engine.backend import Part
from headstart.generation.engine.compiled_rows import decoder_sequence
from headstart.generation.engine.request import GenerationRequest, Sink
from headstart.generation.engine.sequence import Sequence
from headstart.generation.incremental import ModelReader
from headstart.models.transformer import Transformer


class ModelRows:
    """See `Backend`."""

    whole_prompts = True

    def __init__(self, model: Transformer, cache_bytes: int) -> None:
        self.model = model
        self.readers: dict[Sequence, ModelReader] = {}

    def sequence(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """See `Backend`."""
        config = self.model.config
        if config.architecture == "decoder":
            return decoder_sequence(request, sink, config.context)
        start, wanted = request.model_ids.decoder_start, request.config.max_new_tokens
        if request.prompt_logprobs or start is None:
            raise HeadstartError("an encoder-decoder answers its prompt, and does not score it")
        bounded = config.position == "learned"
        return Sequence(request, [start], min(wanted, config.context) if bounded else wanted, sink)

    def admit(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        answers = self.model.config.architecture == "encoder-decoder"
        self.readers[sequence] = ModelReader(self.model, [sequence.request.ids] if answers else None)
        return True

    def finds_prefixes(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        return False

    def read(self, parts: Many[Part]) -> list[Tensor | None]:
        """See `Backend`."""
        found = []
        for part in parts:
            reader = self.readers[part.sequence]
            states = reader.states([part.tokens])[0]  # [T, D]
            found.append(reader.logits(states[torch.tensor(part.wanted)]))
        return found

    def slide(self, sequence: Sequence) -> None:
        """See `Backend`."""
        context = self.model.config.context
        if self.model.config.architecture == "decoder" and sequence.length > context:
            sequence.slide(max(1, context // 2))
            self.readers[sequence].forget()

    def release(self, sequence: Sequence) -> None:
        """See `Backend`."""
        del self.readers[sequence]

    @property
    def cache_use(self) -> float:
        """See `Backend`."""
        return 0.0
