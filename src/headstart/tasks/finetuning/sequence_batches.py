"""How a model learns to write: teacher forcing over examples as tokens, several to a row."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Examples
from headstart.tasks.kinds.generative import Lesson, Writing
from headstart.tasks.kinds.packing import ATTENTION_LENGTH, ROW_MOST, ROW_STEP, Rows, first_fit
from headstart.tasks.model import TaskModel

VALIDATED = 16
"""Lessons of the validation data read at once."""


class Lessons:
    """The loss of a batch of examples: cross-entropy of what is to be written, in nats a token."""

    def __init__(self, model: TaskModel, lessons: Sequence[Lesson], padding: int) -> None:
        self.model, self.lessons, self.padding = model, lessons, padding
        self.tokens = 0
        """Read so far."""

    def __call__(self, examples: Sequence[int]) -> Tensor:
        drawn = [self.lessons[i] for i in examples]
        self.tokens += sum(len(one.source or ()) + len(one.row) for one in drawn)
        rows = pack_lessons(drawn, self.model.decoder_start, self.padding)
        wanted = [one.row[place] for one in drawn for place in one.wanted]
        return F.cross_entropy(self.model(rows), torch.tensor(wanted))

    @torch.no_grad()
    def goodness(self) -> float:
        """The negative mean loss of all lessons, in nats a token."""
        total, count = 0.0, 0
        for first in range(0, len(self.lessons), VALIDATED):
            places = range(first, min(first + VALIDATED, len(self.lessons)))
            tokens = sum(len(self.lessons[place].wanted) for place in places)
            total += float(self(places)) * tokens
            count += tokens
        return -total / count


def fitting(
    kind: Writing, loaded: LoadedModel, train: Examples, labels: Sequence[str], max_tokens: int
) -> tuple[list[Lesson], int]:
    """The lessons of a training set that are at most `max_tokens` long, and how many are longer.

    Raises:
        HeadstartError: all of them are longer.
    """
    decoder = loaded.model.config.architecture == "decoder"
    every = [
        kind.lesson(loaded.tokenizer, given, target, labels, decoder)
        for given, target in zip(train.inputs, train.targets, strict=True)
    ]
    kept = [one for one in every if one.length <= max_tokens]
    if not kept:
        shortest = min(one.length for one in every)
        raise HeadstartError(
            f"all {len(every):,} examples are longer than max_tokens={max_tokens}, the shortest has "
            f"{shortest}; raise max_tokens"
        )
    return kept, len(every) - len(kept)


def pack_lessons(lessons: Sequence[Lesson], decoder_start: int, padding: int) -> Rows:
    """Lessons in rows of the length that costs least; sources stand in the same rows as what answers them.

    A row's tokens are those before each that is foreseen; of an encoder-decoder they begin with
    `decoder_start`. `heads` are where a wanted token is foreseen.
    """
    answers = lessons[0].source is not None
    read = [
        np.array([decoder_start, *one.row[:-1]] if answers else one.row[:-1], dtype=np.int64)
        for one in lessons
    ]
    sources = [np.array(one.source or (), dtype=np.int64) for one in lessons]
    sizes = [len(row) + len(source) for row, source in zip(read, sources, strict=True)]
    shortest = -(-max(sizes) // ROW_STEP) * ROW_STEP
    layouts = [
        (length, *first_fit(sizes, length))
        for length in range(shortest, max(ROW_MOST, shortest) + 1, ROW_STEP)
    ]
    _, rows, places = min(
        layouts, key=lambda layout: layout[0] * layout[1] * (1 + layout[0] / ATTENTION_LENGTH)
    )
    row_of = [row for row, _ in places]
    ids, segments, first = _laid_out(read, row_of, rows, padding)
    last = first + np.array([len(row) for row in read]) - 1
    heads = [
        begin + np.array(one.wanted) - (0 if answers else 1)
        for one, begin in zip(lessons, first, strict=True)
    ]
    source, source_segments, _ = _laid_out(sources, row_of, rows, padding) if answers else (None, None, None)
    return Rows(
        ids,
        segments,
        torch.from_numpy(np.concatenate(heads)),
        torch.from_numpy(first),
        torch.from_numpy(last),
        source=source,
        source_segments=source_segments,
    )


def _laid_out(
    pieces: Sequence[np.ndarray], row_of: Sequence[int], rows: int, padding: int
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Pieces one behind the other in their rows: ids, numbers of the pieces (padding: -1), and where each
    begins in the flattened rows."""
    filled = np.zeros(rows, dtype=np.int64)
    starts = []
    for piece, row in zip(pieces, row_of, strict=True):
        starts.append(filled[row])
        filled[row] += len(piece)
    width = int(filled.max())
    ids = np.full((rows, width), padding, dtype=np.int64)
    segments = np.full((rows, width), -1, dtype=np.int64)
    for number, (piece, row, start) in enumerate(zip(pieces, row_of, starts, strict=True)):
        ids[row, start : start + len(piece)] = piece
        segments[row, start : start + len(piece)] = number
    first = np.array(row_of) * width + np.array(starts)
    return torch.from_numpy(ids), torch.from_numpy(segments), first
