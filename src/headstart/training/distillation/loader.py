"""The batches of a run with what the teacher says of them, and what it said before."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.objectives.batch import Batch
from headstart.objectives.vocabulary import Vocabulary
from headstart.training.data_loader import DataLoader
from headstart.training.distillation.losses import TaughtBatch
from headstart.training.distillation.recipe import DistillRecipe
from headstart.training.distillation.teacher import Directions, Teacher
from headstart.training.schedule import rows_before

MOST_TEXTS = 8
"""Of how many texts of a row the vectors are learned."""


class Kept:
    """What the teacher said of rows: states in a byte a number, each row of numbers with its scale.

    Rows are marked after they are written, so that what a killed run left is never half a row.
    """

    def __init__(self, folder: Path, rows: int, length: int, width: int) -> None:
        folder.mkdir(exist_ok=True)
        shapes = {
            "states": ((rows, length, width), np.int8),
            "scales": ((rows, length), np.float16),
            "vectors": ((rows, MOST_TEXTS, width), np.float16),
            "marks": ((rows,), np.uint8),
        }
        self.parts = {
            name: np.memmap(folder / name, kind, "r+" if (folder / name).exists() else "w+", shape=shape)
            for name, (shape, kind) in shapes.items()
        }

    def has(self, rows: np.ndarray) -> bool:
        """Whether all of these rows are there."""
        return bool(self.parts["marks"][rows].all())

    def write(self, rows: np.ndarray, said: "Said") -> None:
        """Keep what was said of rows."""
        numbers = said.states.numpy()
        scales = (np.abs(numbers).max(-1) / 127).astype(np.float16)
        steps = np.where(scales > 0, scales, 1).astype(np.float32)[..., None]
        self.parts["states"][rows] = np.clip(np.rint(numbers / steps), -127, 127).astype(np.int8)
        self.parts["scales"][rows] = scales
        self.parts["vectors"][rows] = said.vectors.numpy().astype(np.float16)
        self.parts["marks"][rows] = 1

    def read(self, rows: np.ndarray) -> "Said":
        """What was said, as far as it was kept."""
        scales = self.parts["scales"][rows].astype(np.float32)
        states = torch.from_numpy(self.parts["states"][rows].astype(np.float32) * scales[..., None])
        vectors = torch.from_numpy(self.parts["vectors"][rows].astype(np.float32))
        return Said(states, torch.from_numpy(scales > 0), vectors)


@dataclass
class Said:
    """What a teacher says of rows: fields of `TaughtBatch`."""

    states: Tensor
    known: Tensor
    vectors: Tensor


class TaughtLoader(DataLoader):
    """The batches of a distillation.

    Args:
        directions: in which the teacher's states are learned.
    """

    def __init__(
        self,
        recipe: DistillRecipe,
        vocabulary: Vocabulary,
        teacher: Teacher,
        directions: Directions,
        run: Path | None,
    ) -> None:
        super().__init__(recipe, vocabulary)
        self.taught, self.teacher, self.directions = recipe, teacher, directions
        self.kept = None
        if recipe.keep and run is not None:
            if recipe.phases or recipe.context_warmup or recipe.way != "states":
                raise HeadstartError(
                    "keep=true needs way=states and the same rows in every pass; leave out phases and "
                    "context_warmup, or keep"
                )
            self.kept = Kept(run / "teacher", len(self.train), self.length, directions.basis.shape[1])

    def _make(self, step: int) -> Batch:
        batch = super()._make(step)
        rows = None
        if self.kept is not None:
            rows = self.order.rows(rows_before(step, self.recipe), rows_before(step + 1, self.recipe))
        return self.with_teacher(batch, rows)

    def with_teacher(self, batch: Batch, rows: np.ndarray | None = None) -> TaughtBatch:
        """A batch, and what the teacher says of it; where the objective has no weight, with nothing hidden.

        Args:
            rows: their numbers, where what was said of them is kept.
        """
        ids, segments = self._whole(batch), batch.segments.numpy()
        if not self.taught.objective_weight:
            batch = replace(batch, ids=torch.from_numpy(ids))
        targets = len(batch.targets)
        if self.taught.way == "relations":
            queries, keys, values = self.teacher.relations(ids, segments)
            vectors = self._said(ids, segments).vectors if self.taught.vector_weight else None
            shares = self._shares(targets, None, vectors, ids.size)
            return TaughtBatch(
                **vars(batch), queries=queries, keys=keys, values=values, vectors=vectors, shares=shares
            )
        if rows is None or self.kept is None:
            said = self._said(ids, segments)
        else:
            if not self.kept.has(rows):
                self.kept.write(rows, self._said(ids, segments))
            said = self.kept.read(rows)
        shares = self._shares(targets, said.known, said.vectors, ids.size)
        return TaughtBatch(**vars(batch), **vars(said), shares=shares)

    def _said(self, ids: np.ndarray, segments: np.ndarray) -> Said:
        states, known, vectors = self.teacher.states(ids, segments, MOST_TEXTS)
        basis = self.directions.basis
        return Said(states @ basis, known, vectors @ basis)

    def _whole(self, batch: Batch) -> np.ndarray:
        """The ids `[B, T]` as they were before anything was hidden."""
        ids: np.ndarray = batch.ids.numpy().copy()
        if self.taught.objective.kind == "masked":
            ids.reshape(-1)[batch.positions.numpy()] = batch.targets.numpy()
        return ids

    @staticmethod
    def _shares(targets: int, known: Tensor | None, vectors: Tensor | None, tokens: int) -> Tensor:
        """What turns the sums of a step into means times its targets."""
        counts = [
            0 if known is None else int(known.sum()),
            0 if vectors is None else int((vectors.abs().amax(-1) > 0).sum()),
            tokens,
        ]
        return torch.tensor([targets / max(count, 1) for count in counts])
