"""Keys and values of tokens already read."""

import torch
from torch import Tensor
from torch.nn.functional import pad

PADDING = -1
"""The document number of padding: other tokens neither see it nor count it."""


class KVBuffer:
    """A tensor `[B, K, T, C]` that grows along T; its room doubles, so that tokens are rarely copied."""

    def __init__(self) -> None:
        self.room: Tensor | None = None
        self.length = 0

    def append(self, new: Tensor) -> Tensor:
        """Add `[B, K, t, C]`; returns everything so far."""
        end = self.length + new.shape[2]
        room = self._with_room(new, end)
        room[:, :, self.length : end] = new
        self.length = end
        return room[:, :, :end]

    def reserve(self) -> Tensor:
        """Count one token more, for the caller to write at place `length - 1`; returns all the room."""
        assert self.room is not None
        self.length += 1
        return self._with_room(self.room, self.length)

    def _with_room(self, like: Tensor, end: int) -> Tensor:
        if self.room is None or end > self.room.shape[2]:
            batch, heads, _, width = like.shape
            room = like.new_empty(batch, heads, max(64, end, 2 * self.length), width)
            if self.room is not None:
                room[:, :, : self.room.shape[2]] = self.room
            self.room = room
        return self.room

    def reorder(self, rows: Tensor) -> None:
        """Keep the given rows of the batch, in that order."""
        if self.room is not None:
            self.room = self.room[rows]

    def join(self, other: "KVBuffer", length: int) -> None:
        """Have the other's rows too, all as long as `length`, padded on the left."""
        assert self.room is not None
        assert other.room is not None
        ended = [
            pad(room[:, :, :own], (0, 0, length - own, 0))
            for room, own in ((self.room, self.length), (other.room, other.length))
        ]
        self.room, self.length = torch.cat(ended), length

    def cut(self, tokens: int) -> None:
        """Forget the first tokens of every row."""
        assert self.room is not None
        self.room, self.length = self.room[:, :, tokens:], self.length - tokens


class KeyValueCache:
    """Keys and values of the tokens already read, so that each is computed once.

    For every layer a growing pair of `[B, K, T, C]`, and in an encoder-decoder a fixed pair
    `[B, K, S, C]` of the encoder's states for cross-attention.
    """

    def __init__(self) -> None:
        self.layers: list[tuple[KVBuffer, KVBuffer]] = []
        self.cross: dict[int, tuple[Tensor, Tensor]] = {}
        self.segments: Tensor | None = None
        """Document numbers of the tokens read, `[B, T]`, if any were given."""

    @property
    def length(self) -> int:
        return self.layers[0][0].length if self.layers else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values to a layer; returns all of that layer's."""
        if layer == len(self.layers):
            self.layers.append((KVBuffer(), KVBuffer()))
        keys, values = self.layers[layer]
        return keys.append(key), values.append(value)

    def extend_segments(self, segments: Tensor | None, tokens: int) -> Tensor | None:
        """Append document numbers; None goes on with each row's last document."""
        if segments is None and self.segments is not None:
            segments = self.segments[:, -1:].expand(-1, tokens)
        elif segments is not None and self.segments is None and self.length:
            self.segments = segments[:, :1].expand(-1, self.length)
        if segments is not None:
            self.segments = segments if self.segments is None else torch.cat((self.segments, segments), 1)
        return self.segments

    def reorder(self, rows: Tensor) -> None:
        """Keep the given rows of the batch, in that order; a row may be taken more than once."""
        for keys, values in self.layers:
            keys.reorder(rows)
            values.reorder(rows)
        self.cross = {layer: (key[rows], value[rows]) for layer, (key, value) in self.cross.items()}
        if self.segments is not None:
            self.segments = self.segments[rows]

    def join(self, other: "KeyValueCache") -> None:
        """Have the other's rows too, behind these; rows of fewer tokens are padded on the left."""
        length = max(self.length, other.length)
        self.segments = torch.cat(
            [pad(one._all_segments(), (length - one.length, 0), value=PADDING) for one in (self, other)]
        )
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            for own, added in zip(mine, theirs, strict=True):
                own.join(added, length)
        for layer, pair in self.cross.items():
            longest = max(pair[0].shape[2], other.cross[layer][0].shape[2])
            self.cross[layer] = tuple(  # type: ignore[assignment]
                torch.cat([pad(part, (0, 0, 0, longest - part.shape[2])) for part in (own, added)])
                for own, added in zip(pair, other.cross[layer], strict=True)
            )

    def _all_segments(self) -> Tensor:
        """Document numbers, also where none were given: one document a row."""
        if self.segments is not None:
            return self.segments
        keys = self.layers[0][0].room
        assert keys is not None
        return torch.zeros(len(keys), self.length, dtype=torch.long, device=keys.device)

    def trim(self) -> None:
        """Forget the first tokens as far as they are padding in every row."""
        if self.segments is None:
            return
        spare = int((self.segments == PADDING).all(0).int().cumprod(0).sum())
        if spare:
            self.segments = self.segments[:, spare:]
            for keys, values in self.layers:
                keys.cut(spare)
                values.cut(spare)
