"""What a student is told apart from the text: a teacher's states, relations and vectors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.transformer import Transformer
from headstart.objectives.batch import Batch, hidden_states, loss_sum
from headstart.training.distillation.recipe import DistillRecipe
from headstart.training.distributed.parallel import Loss

TAUGHT = ("states", "known", "vectors", "queries", "keys", "values")
"""What a batch has of its teacher, row by row."""


@dataclass(frozen=True)
class TaughtBatch(Batch):
    """Rows with what a teacher makes of them as they were before anything was hidden."""

    states: Tensor | None = None
    """`[B, T, D]` the teacher's states in the student's directions; zeros where it has none."""
    known: Tensor | None = None
    """`[B, T]` true where it has one."""
    vectors: Tensor | None = None
    """`[B, M, D]` its vectors of the texts in a row, in their order; zeros where there are fewer."""
    queries: Tensor | None = None
    """`[B, T, E]` of its layer whose relations are learned."""
    keys: Tensor | None = None
    """`[B, T, E]`"""
    values: Tensor | None = None
    """`[B, T, E]`"""
    shares: Tensor | None = None
    """`[3]` for how many targets of the step a state's, a vector's and a token's relations' loss counts."""

    def rows(self, first: int, last: int) -> "TaughtBatch":
        """The part of the batch that rows `first` to `last` (excluded) hold."""
        part = super().rows(first, last)
        assert isinstance(part, TaughtBatch)
        taught = {name: getattr(self, name) for name in TAUGHT}
        cut = {name: tensor[first:last] for name, tensor in taught.items() if tensor is not None}
        return TaughtBatch(**(vars(part) | cut))


def text_means(states: Tensor, segments: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The mean state of each of a row's first `most` texts, `[B, most, D]`, and their lengths `[B, most]`.

    Args:
        states: `[B, T, D]`; segments: document numbers `[B, T]`.
    """
    place = text_places(segments)  # [B, T]
    inside = F.one_hot(place.clamp(max=most), most + 1)[..., :most].to(states.dtype)  # [B, T, most]
    counts = inside.sum(1)  # [B, most]
    sums = inside.transpose(1, 2) @ states  # [B, most, D]
    return sums / counts.clamp(min=1)[..., None], counts


def text_places(segments: Tensor) -> Tensor:
    """Which text of its row a token is in, counted from 0: `[B, T]`."""
    begins = torch.zeros_like(segments)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return begins.cumsum(1)


def relation_loss(
    student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], segments: Tensor, heads: int
) -> Tensor:
    """How far a student's relations are from its teacher's, summed over tokens: the mean over heads and over
    queries, keys and values of KL(teacher || student), in nats (Wang et al. 2021, equations 4 to 6).

    A relation is the softmax over the tokens of a text of A A^T / sqrt(width of a head).

    Args:
        student, teacher: queries, keys and values, three `[B, T, E]` each; E a multiple of `heads`.
        segments: document numbers `[B, T]`.
    """
    apart = (segments[:, :, None] != segments[:, None, :])[:, None]  # [B, 1, T, T]
    total = torch.zeros((), device=segments.device)
    for own, taught in zip(student, teacher, strict=True):
        scores = _scores(own, heads).masked_fill(apart, float("-inf")).log_softmax(-1)  # [B, R, T, T]
        wanted = _scores(taught, heads).masked_fill(apart, float("-inf")).log_softmax(-1)
        shares = wanted.exp()
        # Tokens of other texts have the share 0 in both.
        gaps = torch.where(apart, 0.0, wanted - scores)
        total = total + (shares * gaps).sum() / heads
    return total / len(student)


def _scores(states: Tensor, heads: int) -> Tensor:
    parts = states.float().view(*states.shape[:2], heads, -1).transpose(1, 2)  # [B, R, T, C]
    scores: Tensor = parts @ parts.transpose(-1, -2) * parts.shape[-1] ** -0.5
    return scores


class Projections:
    """Keeps what the queries, keys and values of one block are, of every forward pass while it is open."""

    def __init__(self, model: Transformer, layer: int) -> None:
        stack = model.encoder if model.decoder is None else model.decoder
        assert stack is not None
        attention = stack.blocks[layer].attention
        self.seen: dict[str, Tensor] = {}
        self._hooks = [
            getattr(attention, name).register_forward_hook(self._keeper(name))
            for name in ("query", "key", "value")
        ]

    def _keeper(self, name: str):  # type: ignore[no-untyped-def]
        def keep(module: nn.Module, given: object, made: Tensor) -> None:
            self.seen[name] = made

        return keep

    def taken(self) -> tuple[Tensor, ...]:
        """Queries, keys and values of the last pass, three `[B, T, E]`."""
        return self.seen.pop("query"), self.seen.pop("key"), self.seen.pop("value")

    def close(self) -> None:
        """Keep nothing any more."""
        for hook in self._hooks:
            hook.remove()


class TaughtLoss(nn.Module):
    """The loss of a batch: the objective's, and what the teacher says."""

    def __init__(
        self, plain: Loss, model: Transformer, recipe: DistillRecipe, heads: int, square: float
    ) -> None:
        """
        Args:
            plain: the objective's loss, which evaluations ask for.
            heads: of the relations.
            square: mean square of a number of the teacher's states.
        """
        super().__init__()
        self.plain, self.model, self.recipe, self.heads, self.square = plain, model, recipe, heads, square
        related = recipe.way == "relations"
        self.projections = Projections(model, model.config.layers - 1) if related else None

    def forward(self, batch: Batch, groups: Tensor | None = None, count: int = 0) -> Tensor:
        """The summed loss of a batch, where each part is a mean times the targets; of an evaluation the
        objective's own by group."""
        if groups is not None or not isinstance(batch, TaughtBatch):
            answer: Tensor = self.plain(batch, groups, count)
            return answer
        hidden = hidden_states(self.model, batch)
        recipe = self.recipe
        loss = hidden.new_zeros((), dtype=torch.float32)
        if recipe.objective_weight:
            loss = recipe.objective_weight * loss_sum(self.model, batch, hidden, **self.plain.options)
        states, vectors, relations = self.parts(batch, hidden)
        assert batch.shares is not None
        layer = states * batch.shares[0] + relations * batch.shares[2]
        return loss + recipe.layer_weight * layer + recipe.vector_weight * vectors * batch.shares[1]

    def parts(self, batch: TaughtBatch, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The summed losses of states, vectors and relations."""
        states = vectors = relations = hidden.new_zeros((), dtype=torch.float32)
        if batch.states is not None and batch.known is not None:
            errors = (hidden.float() - batch.states).square().mean(-1) / self.square  # [B, T]
            states = (errors * batch.known).sum()
        if batch.vectors is not None:
            means, _ = text_means(hidden.float(), batch.segments, batch.vectors.shape[1])
            there = batch.vectors.abs().amax(-1) > 0  # [B, M]
            vectors = ((1 - F.cosine_similarity(means, batch.vectors, dim=-1)) * there).sum()
        if self.projections is not None:
            own, taught = self.projections.taken(), (batch.queries, batch.keys, batch.values)
            known = tuple(tensor for tensor in taught if tensor is not None)
            relations = relation_loss(own, known, batch.segments, self.heads)
        return states, vectors, relations
