"""A trained model that says of a student's tokens what it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.objectives.rows import document_starts, filled, places_in_rows
from headstart.tokenizer.base import Tokenizer
from headstart.training.distillation.alignment import overlaps, spans_of_pieces
from headstart.training.distillation.losses import Projections, text_means

SHORTEST = 4
"""Texts of fewer tokens have no vector: a piece of a word that a row's end cut off says nothing."""


@dataclass(frozen=True)
class Directions:
    """In what a student learns its teacher's states."""

    basis: Tensor
    """`[E, D]` from the teacher's numbers to the student's."""
    square: float
    """Mean square of a number of the states in them."""
    share: float
    """Of the states' square that lies in them."""


@dataclass
class Reading:
    """How a teacher reads rows: its own tokens, and which of them stand where a student's token stands."""

    ids: Tensor
    """`[B, W]`"""
    segments: Tensor
    """`[B, W]`, -1 in what is left of a row."""
    places: Tensor
    """`[P]` in the flattened rows of the student: pairs with"""
    others: Tensor
    """`[P]` in the teacher's."""


class Teacher:
    """A model folder and the tokenizer of the student that it teaches."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, dtype: torch.dtype = torch.float32) -> None:
        """
        Raises:
            HeadstartError: no model folder, damaged weights, or an encoder-decoder.
        """
        loaded = load_model(folder, dtype)
        self.folder, self.model, self.tokenizer = folder, loaded.model.eval(), loaded.tokenizer
        if self.model.config.architecture == "encoder-decoder":
            raise HeadstartError(
                f"{folder} is an encoder-decoder, whose states stand for two texts; take an encoder or a "
                "decoder as the teacher"
            )
        self.model.requires_grad_(False)
        self.student = tokenizer
        self.same = tokenizer.sha256 == self.tokenizer.sha256
        self.lower = loaded.vectors is not None and loaded.vectors.lower
        self.projections: Projections | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes; what it says lies in main memory."""
        return self.model.embedding.weight.device

    @property
    def width(self) -> int:
        """Numbers in a state."""
        return self.model.config.width

    def reading(self, ids: np.ndarray, segments: np.ndarray) -> Reading:
        """The rows of a student, `[B, T]`, as the teacher reads them.

        Every text, or the part of one that a row holds, stands between the teacher's special tokens.
        """
        begins = np.flatnonzero(document_starts(segments).reshape(-1))
        ends = np.append(begins[1:], ids.size)
        flat, numbers = ids.reshape(-1), segments.reshape(-1)
        read: list[np.ndarray] = []
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        rows: list[int] = []
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            if numbers[begin] < 0:  # padding
                continue
            own, places, others = self._text(flat[begin:end])
            pairs.append((places + begin, others))
            read.append(own)
            rows.append(begin // ids.shape[1])
        lengths = np.array([len(own) for own in read])
        row = np.repeat(rows, lengths)
        at, width = places_in_rows(row, 8)
        shape = (len(ids), width)
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        where = [at[others + begin] for (_, others), begin in zip(pairs, first, strict=True)]
        return Reading(
            torch.from_numpy(filled(shape, at, np.concatenate(read), self.tokenizer.special.pad or 0)),
            torch.from_numpy(filled(shape, at, np.repeat(np.arange(len(read)), lengths), -1)),
            torch.from_numpy(np.concatenate([places for places, _ in pairs])),
            torch.from_numpy(np.concatenate(where)),
        )

    def _text(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The teacher's ids of a text, and pairs of places: of the student's tokens, of the teacher's."""
        special = self.student.special.all
        framing = np.array([index in special for index in ids.tolist()])
        inner = np.flatnonzero(~framing)
        if self.same:
            read = ids[inner].tolist()
            mine, theirs = np.arange(len(inner)), np.arange(len(inner))
        else:
            text, spans = spans_of_pieces([self.student.pieces[index] for index in ids[inner].tolist()])
            read, other_spans = self.tokenizer.encode_spans(text.lower() if self.lower else text)
            mine, theirs = overlaps(_without_blanks(spans, text), _without_blanks(other_spans, text))
        most = self.model.config.context - (len(self.tokenizer.with_special([])[0]))
        if len(read) > most:
            read, seen = read[:most], theirs < most
            mine, theirs = mine[seen], theirs[seen]
        whole, _ = self.tokenizer.with_special(read)
        before = _opening(self.tokenizer)
        outer, ends = self._outer(framing, len(whole), before, len(read))
        return (
            np.array(whole, np.int64),
            np.concatenate([outer, inner[mine]]),
            np.concatenate([ends, theirs + before]),
        )

    @staticmethod
    def _outer(framing: np.ndarray, whole: int, before: int, read: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of the special tokens that open and close a text in both."""
        pairs = []
        if framing[0] and before:
            pairs.append((0, 0))
        if len(framing) > 1 and framing[-1] and whole > before + read:
            pairs.append((len(framing) - 1, whole - 1))
        places = np.array(pairs, np.int64).reshape(-1, 2)
        return places[:, 0], places[:, 1]

    @torch.no_grad()
    def states(self, ids: np.ndarray, segments: np.ndarray, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the teacher makes of rows `[B, T]`.

        Returns:
            The mean of its last states of the tokens where each of the student's stands, `[B, T, E]`, zeros
            where there are none; whether there are any, `[B, T]`; and the mean of all of its states of each
            of a row's first `most` texts, `[B, most, E]`, zeros where there are fewer.
        """
        read = self.reading(ids, segments)
        made = self.model(read.ids.to(self.device), read.segments.to(self.device)).float().cpu()  # [B, W, E]
        size = ids.size
        sums = torch.zeros(size, self.width).index_add(0, read.places, made.flatten(0, 1)[read.others])
        counts = torch.bincount(read.places, minlength=size)
        states = (sums / counts.clamp(min=1)[:, None]).view(*ids.shape, -1)
        means, lengths = text_means(made, read.segments, most)
        there = lengths >= SHORTEST
        # What is left of a row has the number -1 and counts as a text behind the last.
        texts = (read.segments.amax(1, keepdim=True) - read.segments[:, :1] + 1).clamp(max=most)
        there &= torch.arange(most) < texts
        return states, (counts > 0).view(ids.shape), means * there[..., None]

    @torch.no_grad()
    def relations(self, ids: np.ndarray, segments: np.ndarray) -> tuple[Tensor, ...]:
        """Queries, keys and values of the layer that is taught, three `[B, T, E]`, of the same tokens."""
        assert self.projections is not None
        self.model(torch.from_numpy(ids).to(self.device), torch.from_numpy(segments).to(self.device))
        return tuple(made.cpu() for made in self.projections.taken())

    @torch.no_grad()
    def token_vectors(self, pieces: Sequence[bytes]) -> Tensor:
        """The mean state of every piece alone between special tokens, `[V, E]`; zeros of what has no text."""
        texts = [piece.decode("utf-8", "replace").strip() for piece in pieces]
        vectors = torch.zeros(len(texts), self.width)
        encoded = [
            self.tokenizer.with_special(ids)[0] if ids else []
            for ids in self.tokenizer.encode_batch([text.lower() if self.lower else text for text in texts])
        ]
        order = sorted((n for n, ids in enumerate(encoded) if ids), key=lambda n: len(encoded[n]))
        for first in range(0, len(order), 512):
            some = order[first : first + 512]
            width = max(len(encoded[n]) for n in some)
            ids = torch.full((len(some), width), self.tokenizer.special.pad or 0)
            inside = torch.zeros(len(some), width, dtype=torch.bool)
            for row, n in enumerate(some):
                ids[row, : len(encoded[n])] = torch.tensor(encoded[n])
                inside[row, : len(encoded[n])] = True
            segments = torch.where(inside, 0, -1).to(self.device)
            states = self.model(ids.to(self.device), segments).float().cpu()  # [n, t, E]
            vectors[some] = (states * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)
        return vectors


def _opening(tokenizer: Tokenizer) -> int:
    """How many special tokens stand before a text."""
    return tokenizer.with_special([0])[0].index(0) if 0 not in tokenizer.special.all else _place(tokenizer)


def _place(tokenizer: Tokenizer) -> int:
    ordinary = next(n for n in range(tokenizer.vocab_size) if n not in tokenizer.special.all)
    return tokenizer.with_special([ordinary])[0].index(ordinary)


def _without_blanks(spans: np.ndarray, text: str) -> np.ndarray:
    """Spans `[t, 2]` without the blanks at their beginning, which some tokenizers count and some do not."""
    trimmed = spans.copy()
    for row, (begin, end) in enumerate(spans.tolist()):
        while begin < end and text[begin].isspace():
            begin += 1
        trimmed[row, 0] = begin
    return trimmed


def principal_directions(states: Tensor, width: int, seed: int) -> tuple[Tensor, float]:
    """The strongest directions of states, turned at random so that no number holds more than the others, and
    the share of the states' square that lies in them.

    Args:
        states: `[N, E]`.
        width: how many numbers a student has for them; with more than E all directions stay.

    Returns:
        `[E, width]`, which makes states of mean square 1 a number.
    """
    energy, directions = torch.linalg.eigh(states.T.double() @ states.double())
    kept = min(width, states.shape[1])
    chosen = directions[:, -kept:].flip(1)
    # The sign of an eigenvector is arbitrary: its largest entry is positive.
    largest = chosen.abs().argmax(0, keepdim=True)
    chosen = chosen * chosen.gather(0, largest).sign()
    spread, _ = torch.linalg.qr(
        torch.randn(width, width, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    )
    basis = chosen @ spread[:kept]
    share = float(energy[-kept:].sum() / energy.sum())
    scale = (states.double() @ basis).square().mean().sqrt().clamp(min=1e-9)
    return (basis / scale).float(), share
