"""What one step of pre-training computes, with nothing of the run around it."""

import math
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from headstart.interchange.model_folder import load_model
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer
from headstart.models.vectors.static_vectors import start_from_static
from headstart.objectives.batch import Batch
from headstart.objectives.vocabulary import Vocabulary, read_vocabulary
from headstart.progress import ProgressBar
from headstart.tokenizer.base import Tokenizer
from headstart.training.data_loader import DataLoader
from headstart.training.distributed.parallel import ParallelContext
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import cuts_at
from headstart.training.weight_average import Average

# How much text the static start counts in: some fifteen core-seconds; a quarter of it served texts worse.
STATIC_TOKENS = 16_000_000
OUTPUT_PARTS = ("prediction_head.", "output.", "output_bias")
"""How the names of an output's weights begin."""


class Trainer:
    """A model that learns, laid out over the processes.

    Args:
        model: with random weights.
        begin: whether the model takes the weights that `recipe.start` names; of no use where a checkpoint
            replaces them.
    """

    def __init__(
        self,
        recipe: PretrainRecipe,
        model: Transformer,
        tokenizer: Tokenizer,
        layout: ParallelContext,
        begin: bool,
    ) -> None:
        self.recipe, self.model, self.layout = recipe, model, layout
        family = family_named(model.config.family)
        self.data = self.loader(read_vocabulary(tokenizer, family.decoder_start))
        if begin:
            self.take_start(tokenizer)
        layout.parallelize(model, recipe)
        self.optimiser = Optimiser(model, recipe.optimiser)
        decay = recipe.optimiser.average
        self.average = None if decay is None else Average(model, decay)

    def loader(self, vocabulary: Vocabulary) -> DataLoader:
        """What makes the batches."""
        return DataLoader(self.recipe, vocabulary)

    def take_start(self, tokenizer: Tokenizer) -> None:
        """Give the model the weights that `recipe.start` names."""
        start = self.recipe.start
        if isinstance(start, Path):
            self._take_over(start)
        elif start == "static":
            ids, documents = self.data.train.beginning(STATIC_TOKENS)
            label = f"count the static start in {len(ids):,} tokens"
            with ProgressBar(label, None, "tokens") if self.layout.main else nullcontext():
                start_from_static(self.model, ids, documents, self.recipe.seed, tokenizer.special.all)

    def _take_over(self, start: Path) -> None:
        """Take the weights of a model folder; an output that it lacks stays random."""
        state, own = load_model(start).model.state_dict(), self.model.state_dict()
        taken = {name: tensor for name, tensor in state.items() if name in own}
        lacking = [name for name in own if name not in taken and not name.startswith(OUTPUT_PARTS)]
        assert not lacking, lacking  # `configuration` adds an output and nothing else
        self.model.load_state_dict(taken, strict=False)

    def gradients(self, batch: Batch, step: int, rows: int) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a step; dropout depends on the seed and the step alone.

        Args:
            batch: of the whole step; this process takes its share.
            rows: how many are computed at once.

        Returns:
            The mean loss over all targets of the step, however it is split, and the squared norm of the
            gradient, both on the device: nothing has waited for it.
        """
        layout = self.layout
        self.model.train()
        torch.manual_seed((self.recipe.seed << 32) + (layout.dropout_rank << 48) + step)
        loss = layout.backward(list(layout.share(batch).split(rows)), len(batch.targets))
        return loss, layout.square(self.optimiser.gradients())

    def apply(self, scale: float, norm: float | Tensor, left_out: Tensor | None = None) -> None:
        """Move the weights along the gradients, which are cleared.

        Args:
            scale: of the learning rates' peaks.
            norm: the gradient's.
            left_out: 1 on the device where the step moves nothing, else 0; None: it moves the weights.
        """
        self.optimiser.step(scale, norm, left_out)
        if self.average is not None:
            self.average.update(left_out)

    def step(self, place: int, scale: float) -> tuple[float, float]:
        """Make the step of a place whatever its figures are; returns the loss and the gradient's norm."""
        loss, square = self.gradients(self.data.batch(place), place, self.micro_rows(place))
        figures = torch.stack([loss, square]).tolist()
        norm = math.sqrt(figures[1])
        self.apply(scale, norm)
        return figures[0], norm

    def close(self) -> None:
        """End the background thread of the data."""
        self.data.close()

    def micro_rows(self, place: int) -> int:
        """How many rows are computed at once in the step that reads the rows of `place`."""
        return self.recipe.micro_rows * cuts_at(place, self.recipe)
