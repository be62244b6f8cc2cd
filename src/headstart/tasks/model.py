"""A Transformer with a task's classifier on top."""

import torch
from torch import Tensor, nn

from headstart.models.transformer import Transformer
from headstart.tasks.data import TaskKind
from headstart.tasks.packing import Rows


class TaskModel(nn.Module):
    """Scores of labels, for whole texts (classification) or for every word (tagging).

    A text is the mean of the hidden states of its tokens, `<s>` and `</s>` included; a word is the hidden
    state of its first token. Then prediction head, dropout, linear layer: what transformers calls
    ModernBertForSequenceClassification (with mean pooling) and ModernBertForTokenClassification.
    """

    def __init__(self, body: Transformer, task: TaskKind, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body, self.task = body, task
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(body.config.width, labels)

    def forward(self, rows: Rows) -> Tensor:
        """Logits in float32, `[pieces, labels]` or `[words, labels]`, in the order of the pieces packed."""
        hidden = self.body(rows.ids, rows.segments).flatten(0, 1)  # [B*T, D]
        # What follows is small; float32 keeps its rounding out of the loss.
        chosen = mean_of_pieces(hidden, rows) if self.task == "classification" else hidden[rows.heads].float()
        return self.classifier(self.dropout(self.body.prediction_head(chosen)))


def mean_of_pieces(hidden: Tensor, rows: Rows) -> Tensor:
    """Mean of the hidden states `[B*T, D]` of every piece: `[pieces, D]`, in float32."""
    segments = rows.segments.flatten()  # [B*T]; what lies outside of all pieces has the last number
    sums = hidden.new_zeros(rows.pieces + 1, hidden.shape[1], dtype=torch.float32)
    sums = sums.index_add(0, segments, hidden.float())
    counts = torch.bincount(segments, minlength=rows.pieces + 1)
    return sums[:-1] / counts[:-1, None]
