"""A Transformer with a task's head on top."""

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.family import HeadShape
from headstart.models.heads import Head
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer
from headstart.tasks.examples import TaskKind
from headstart.tasks.kinds import KINDS
from headstart.tasks.packing import Rows


class TaskModel(nn.Module):
    """Scores of labels, for whole pieces or for every token that is read; or a vector for each piece.

    Which states stand for a text, and what they pass on the way to the scores, is the family's way
    (`HeadShape`), so that the model folder computes the same in transformers. A decoder and the decoder of an
    encoder-decoder see a text up to the token they answer at. The vector of a piece is the mean of its
    states, in an encoder-decoder of the encoder's; of a decoder it is the state of the last token, which has
    seen all.
    """

    def __init__(
        self, body: Transformer, task: TaskKind, labels: int, dropout: float = 0.0, decoder_start: int = 0
    ) -> None:
        """`decoder_start` is the id with which the decoder of an encoder-decoder begins.

        Raises:
            HeadstartError: the family has no head for the task.
        """
        super().__init__()
        shape = head_shape(body.config.family, task)
        self.body, self.task, self.decoder_start = body, task, decoder_start
        self.head = Head(body.config.width, shape, labels, dropout) if labels else None

    def forward(self, rows: Rows) -> Tensor:
        """Logits in float32, `[pieces, labels]` or `[heads, labels]`, in the order of the pieces packed; for
        embeddings the vectors `[pieces, D]`."""
        hidden = self._states(rows).flatten(0, 1)  # [B*T, D]
        if self.head is None:
            return (
                hidden[rows.last].float()
                if self.body.config.architecture == "decoder"
                else mean_of_pieces(hidden, rows)
            )
        reads = self.head.shape.reads
        if reads == "each":
            chosen = hidden[rows.heads]
        elif reads == "mean":
            chosen = mean_of_pieces(hidden, rows)
        else:
            chosen = hidden[rows.first if reads == "first" else rows.last]
        # What follows is small; float32 keeps its rounding out of the loss.
        return self.head(self.body, chosen.float())

    def _states(self, rows: Rows) -> Tensor:
        """Hidden states `[B, T, D]`; an encoder-decoder with a head reads every text on both of its sides."""
        body = self.body
        if body.encoder is None or body.decoder is None:
            return body(
                rows.ids, rows.segments, token_types=rows.types if body.config.token_types > 1 else None
            )
        memory = body.encode(rows.ids, rows.segments)
        if self.head is None:
            return memory
        begun = rows.ids.roll(1, 1)
        begun.view(-1)[rows.first] = self.decoder_start
        return body(begun, rows.segments, memory=memory, memory_segments=rows.segments)


def head_shape(family: str, task: TaskKind) -> HeadShape:
    """The head of a family for a kind of task; a `HeadstartError` where it has none."""
    shape: HeadShape | None = family_named(family).HEADS.get(KINDS[task].head)
    if shape is None:
        raise HeadstartError(f"a {family} model has no head for {task}; take another family")
    return shape


def mean_of_pieces(hidden: Tensor, rows: Rows) -> Tensor:
    """Mean of the hidden states `[B*T, D]` of every piece: `[pieces, D]`, in float32."""
    segments = rows.segments.flatten()  # [B*T]; what lies outside of all pieces has the last number
    sums = hidden.new_zeros(rows.pieces + 1, hidden.shape[1], dtype=torch.float32)
    sums = sums.index_add(0, segments, hidden.float())
    counts = torch.bincount(segments, minlength=rows.pieces + 1)
    return sums[:-1] / counts[:-1, None]
