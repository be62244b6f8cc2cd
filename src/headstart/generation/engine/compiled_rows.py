"""The compiled decoder as the engine's backend: rows of any sequences in one call, bitwise as each alone."""

from collections.abc import Sequence as Many
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headstart.generation.cpu_decoder import CPUDecoder, TextCache
from headstart.generation.cpu_library import BLOCK
from headstart.generation.engine.backend import Part, decoder_sequence, no_room
from headstart.generation.engine.blocks import Block, BlockPool, next_key
from headstart.generation.engine.request import ContextExceeded, GenerationRequest, Sink
from headstart.generation.engine.sequence import Sequence


@dataclass
class _Room:
    """What a sequence has of the cache."""

    cache: TextCache
    blocks: list[Block]
    keys: list[bytes] = field(default_factory=list)
    """Of the blocks that are written to their end, behind the key of what the sequence may share."""


class CompiledRows:
    """See `Backend`. Prompts that begin alike share the blocks of what they have in common: a block holds the
    same numbers whoever wrote it."""

    whole_prompts = False

    def __init__(self, decoder: CPUDecoder, cache_bytes: int) -> None:
        self.decoder = decoder
        self.context = decoder.model.config.context
        size, dtype = decoder.block_size, decoder.model.dtype
        self.pool = BlockPool(cache_bytes // (size * dtype.itemsize), lambda: torch.empty(size, dtype=dtype))
        self.rooms: dict[Sequence, _Room] = {}

    def sequence(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """See `Backend`."""
        sequence = decoder_sequence(request, sink, self.context)
        if self._blocks(sequence) > self.pool.limit:
            raise ContextExceeded(no_room(self._tokens(sequence), self.pool.limit * BLOCK))
        return sequence

    def _tokens(self, sequence: Sequence) -> int:
        """That may be read at the same time."""
        return min(sequence.length + sequence.longest, self.context)

    def _blocks(self, sequence: Sequence) -> int:
        return -(-self._tokens(sequence) // BLOCK)

    def _shares(self, sequence: Sequence) -> bool:
        """Whether blocks stay what they are: a row that slides is written anew from its beginning."""
        return not sequence.begin and len(sequence.prompt) + sequence.longest <= self.context

    def finds_prefixes(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        return self._shares(sequence) and not sequence.request.prompt_logprobs

    def admit(self, sequence: Sequence) -> bool:
        """See `Backend`."""
        request = sequence.request
        keys = [request.salt.encode()]
        shared: list[Block] = []
        if self.finds_prefixes(sequence):  # at least one token is read, for the logits after it
            for first in range(0, len(sequence.prompt) - BLOCK, BLOCK):
                keys.append(next_key(keys[-1], sequence.prompt[first : first + BLOCK]))
            shared = self.pool.find(keys[1:])
        blocks = self.pool.take(shared, self._blocks(sequence))
        if blocks is None:
            return False
        cache = self.decoder.cache()
        cache.blocks = [block.memory for block in blocks]
        cache.length = sequence.read = sequence.cached_tokens = len(shared) * BLOCK
        self.rooms[sequence] = _Room(cache, blocks, keys[: len(shared) + 1])
        return True

    def read(self, parts: Many[Part]) -> list[Tensor | None]:
        """See `Backend`."""
        rooms = [self.rooms[part.sequence] for part in parts]
        logits = self.decoder.read_rows(
            [room.cache for room in rooms], [part.tokens for part in parts], [part.wanted for part in parts]
        )
        for part, room in zip(parts, rooms, strict=True):
            if self._shares(part.sequence):
                self._publish(part.sequence, room)
        return [found if len(found) else None for found in logits]

    def _publish(self, sequence: Sequence, room: _Room) -> None:
        """Tell of the blocks that are full now."""
        while (number := len(room.keys) - 1) < room.cache.length // BLOCK:
            tokens = sequence.row[number * BLOCK : (number + 1) * BLOCK]
            room.keys.append(next_key(room.keys[-1], tokens))
            self.pool.publish(room.blocks[number], room.keys[-1])

    def slide(self, sequence: Sequence) -> None:
        """See `Backend`."""
        if sequence.length > self.context:
            sequence.slide(max(1, self.context // 2))
            self.rooms[sequence].cache.length = 0

    def release(self, sequence: Sequence) -> None:
        """See `Backend`."""
        self.pool.give_back(self.rooms.pop(sequence).blocks)

    @property
    def cache_use(self) -> float:
        """See `Backend`."""
        return self.pool.used / self.pool.limit
