"""A Transformer with a task's head on top."""

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.family import HeadShape
from headstart.models.heads import Head
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer
from headstart.tasks.data import TaskKind
from headstart.tasks.packing import Rows


class TaskModel(nn.Module):
    """Scores of labels, for whole texts (classification) or for every word (tagging).

    A word is the state of its first token; which states stand for a text, and what they pass on the way
    to the scores, is the family's way (`HeadShape`), so that the model folder computes the same in
    transformers. A decoder and the decoder of an encoder-decoder see a text up to the token they answer at.
    """

    def __init__(
        self, body: Transformer, task: TaskKind, labels: int, dropout: float = 0.0, decoder_start: int = 0
    ) -> None:
        """`decoder_start` is the id with which the decoder of an encoder-decoder begins.

        Raises:
            HeadstartError: the family has no head for the task.
        """
        super().__init__()
        shape: HeadShape | None = family_named(body.config.family).HEADS.get(task)
        if shape is None:
            raise HeadstartError(f"a {body.config.family} model has no head for {task}; take another family")
        self.body, self.task, self.decoder_start = body, task, decoder_start
        self.head = Head(body.config.width, shape, labels, dropout)

    def forward(self, rows: Rows) -> Tensor:
        """Logits in float32, `[pieces, labels]` or `[words, labels]`, in the order of the pieces packed."""
        hidden = self._states(rows).flatten(0, 1)  # [B*T, D]
        reads = self.head.shape.reads
        if self.task == "tagging":
            chosen = hidden[rows.heads]
        elif reads == "mean":
            chosen = mean_of_pieces(hidden, rows)
        else:
            chosen = hidden[rows.first if reads == "first" else rows.last]
        # What follows is small; float32 keeps its rounding out of the loss.
        return self.head(self.body, chosen.float())

    def _states(self, rows: Rows) -> Tensor:
        """Hidden states `[B, T, D]`; an encoder-decoder reads every text on both of its sides."""
        if self.body.encoder is None or self.body.decoder is None:
            return self.body(rows.ids, rows.segments)
        memory = self.body.encode(rows.ids, rows.segments)
        begun = rows.ids.roll(1, 1)
        begun.view(-1)[rows.first] = self.decoder_start
        return self.body(begun, rows.segments, memory=memory, memory_segments=rows.segments)


def mean_of_pieces(hidden: Tensor, rows: Rows) -> Tensor:
    """Mean of the hidden states `[B*T, D]` of every piece: `[pieces, D]`, in float32."""
    segments = rows.segments.flatten()  # [B*T]; what lies outside of all pieces has the last number
    sums = hidden.new_zeros(rows.pieces + 1, hidden.shape[1], dtype=torch.float32)
    sums = sums.index_add(0, segments, hidden.float())
    counts = torch.bincount(segments, minlength=rows.pieces + 1)
    return sums[:-1] / counts[:-1, None]
