"""The head alone, fitted to what a frozen body gives: all examples at once, regularised as the labels want.

A linear layer on given states has one best fit for each strength of regularisation, and a few dozen steps of
L-BFGS find it. How strong it has to be depends on task, body and number of labels, over factors of thousands,
so it is chosen by cross-validation within the labels. A body that learns too does not begin behind such a
head (Kumar et al. 2022): it scored no better for it, and large weights on small states made it diverge
(docs/research-log.md, section 13).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.tasks.data.splitting import folds
from headstart.tasks.finetuning.batches import ExampleLoss
from headstart.tasks.finetuning.feature_cache import Features
from headstart.tasks.kinds.kind import Kind
from headstart.tasks.kinds.packing import EncodedWindow

STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0)
"""What a weight's variance is before any label is seen, of states whose entries have variance 1."""
FOLDS = 8
MOST_BYTES = 2**28
"""Of states; of more, a sample of the examples is fitted to."""
MANY_ROWS = 2_000
"""States, beyond which one fold of them tells enough."""
STEPS = 100
COUNTED_SHARES = (0.0, 0.25, 0.5, 1.0)
"""Of what counted words say beside the states, that are tried."""
EVEN = 1.0
"""How much the weights of layers are held towards each other, in nats over all examples."""


@dataclass(frozen=True)
class FittedHead:
    """How it went."""

    strength: float
    """The variance of weights that was chosen."""
    counted_share: float
    """How much of what counted words say is left beside the states; 0 where there are none."""
    steps: int
    """Of the last fit."""
    loss: float
    """Mean over the examples, at the end."""


@dataclass(frozen=True)
class _Given:
    """What the output layer reads, and what is right for it."""

    states: Tensor
    """`[rows, D]` of variance 1, or `[rows, layers, D]`."""
    pieces: list[EncodedWindow]
    targets: list[Tensor]
    beside: Tensor | None
    """`[rows, labels]` what counted words say."""
    rows: list[Tensor]
    """The rows of each piece."""

    def subset(self, places: Sequence[int]) -> "_Given":
        rows = torch.cat([self.rows[place] for place in places])
        sizes = [len(self.rows[place]) for place in places]
        return _Given(
            self.states[rows],
            [self.pieces[place] for place in places],
            [self.targets[place] for place in places],
            None if self.beside is None else self.beside[rows],
            list(torch.arange(len(rows)).split(sizes)),
        )


@dataclass(frozen=True)
class _Weights:
    """Of the output layer for states of variance 1."""

    matrix: Tensor
    """`[labels, D]`"""
    bias: Tensor | None
    mix: Tensor
    """`[layers]`; of one layer `[1]`."""
    share: float = 0.0
    """Of what counted words say."""

    @property
    def learned(self) -> list[Tensor]:
        return [self.matrix, self.mix, *([] if self.bias is None else [self.bias])]

    def outputs(self, given: _Given) -> Tensor:
        states = given.states
        if states.dim() == 3:
            states = torch.einsum("l,nld->nd", self.mix.softmax(0), states)
        outputs = F.linear(states, self.matrix, self.bias)
        return outputs + self.share * given.beside if given.beside is not None else outputs


def fit_head(
    loss: ExampleLoss, states: Callable[[Sequence[EncodedWindow]], Features], seed: int
) -> FittedHead:
    """Fit the output layer of a model's head, and of a mix the weights of its layers; the rest stays.

    Args:
        loss: the model and its labelled examples.
        states: of pieces.
        seed: of the folds.
    """
    model, train = loss.predictor.model, loss.examples
    assert model.head is not None
    output = model.head.output
    given = _given(loss, states, seed)
    middle = given.states.flatten(0, -2).mean(0) if output.bias is not None else torch.zeros(1)
    size = given.states.flatten(0, -2).std(0) + 1e-6
    given = replace(given, states=(given.states - middle) / size)
    layers = given.states.shape[1] if given.states.dim() == 3 else 1
    bias = None if output.bias is None else output.bias.detach().clone()
    start = _Weights(torch.zeros_like(output.weight), bias, torch.zeros(layers))
    unit = float(np.std(train.targets)) or 1.0 if train.task == "regression" else 1.0
    fit = _Fit(loss.predictor.kind, unit)
    strength, share = _chosen(given, loss, seed, fit, start)
    found, steps = fit(given, strength, replace(start, share=share))
    with torch.no_grad():
        output.weight.copy_(found.matrix / size)
        if found.bias is not None and output.bias is not None:
            output.bias.copy_(found.bias - (found.matrix / size) @ middle)
        if model.mix is not None:
            model.mix.weights.copy_(found.mix)
    return FittedHead(strength, share, steps, fit.loss(given, found))


@dataclass(frozen=True)
class _Fit:
    """The best weights for a strength of regularisation."""

    kind: Kind
    unit: float
    """Of the outputs, in which weights are measured."""

    def loss(self, given: _Given, weights: _Weights) -> float:
        """Mean over the examples."""
        with torch.no_grad():
            return float(self.kind.loss(weights.outputs(given), given.targets, given.pieces))

    def __call__(self, given: _Given, strength: float, start: _Weights) -> tuple[_Weights, int]:
        """The weights, from `start` on, and the steps that it took."""
        bias = None if start.bias is None else start.bias.clone().requires_grad_(True)
        matrix, mix = (weight.clone().requires_grad_(True) for weight in (start.matrix, start.mix))
        weights = replace(start, matrix=matrix, mix=mix, bias=bias)
        optimiser = torch.optim.LBFGS(weights.learned, max_iter=STEPS, line_search_fn="strong_wolfe")
        count = len(given.states)

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = self.kind.loss(weights.outputs(given), given.targets, given.pieces)
            value = value + matrix.square().sum() / self.unit**2 / (2 * strength * count)
            value = value + EVEN * mix.square().sum() / (2 * count)
            value.backward()
            return value

        optimiser.step(closure)
        found = replace(
            weights, matrix=matrix.detach(), mix=mix.detach(), bias=None if bias is None else bias.detach()
        )
        return found, int(optimiser.state[matrix]["n_iter"])


def _chosen(given: _Given, loss: ExampleLoss, seed: int, fit: _Fit, start: _Weights) -> tuple[float, float]:
    """The strength, and the share of counted words, at which held-out examples are likeliest."""
    shares = (0.0,) if given.beside is None else COUNTED_SHARES
    if len(loss.examples) < 2 * FOLDS:
        return STRENGTHS[1], shares[-1]
    owner = np.array([piece.owner for piece in given.pieces])
    parts = folds(loss.examples, FOLDS, seed)
    if len(given.states) > MANY_ROWS:
        parts = parts[:1]
    totals = np.zeros((len(shares), len(STRENGTHS)))
    for part in parts:
        held = np.isin(owner, part)
        if held.all() or not held.any():  # of a sample of the examples
            continue
        learned, asked = (given.subset(np.flatnonzero(which).tolist()) for which in (~held, held))
        for row, share in enumerate(shares):
            weights = replace(start, share=share)
            for column, strength in enumerate(STRENGTHS):
                weights, _ = fit(learned, strength, weights)
                totals[row, column] += fit.loss(asked, weights) * len(asked.states)
    row, column = divmod(int(totals.argmin()), len(STRENGTHS))
    return STRENGTHS[column], shares[row]


@torch.no_grad()
def _given(loss: ExampleLoss, states: Callable[[Sequence[EncodedWindow]], Features], seed: int) -> _Given:
    """The states behind the head's inner layers; of the windows of a text scored as a whole their mean, as
    `pooled` takes it of their scores."""
    model = loss.predictor.model
    places = _sample(loss, seed)
    pieces = [loss.pieces[place] for place in places]
    targets = [loss.targets[place] for place in places]
    if loss.features is not None:
        read = model.inner(loss.features.of(places))
    else:
        read = model.inner(states(pieces).of(range(len(pieces))))
    if model.reads_each:
        sizes = [model.states_read(piece) for piece in pieces]
        return _Given(
            read, pieces, targets, loss.beside_of(pieces), list(torch.arange(len(read)).split(sizes))
        )
    windows: dict[tuple[int, int], list[int]] = {}
    for place, piece in enumerate(pieces):
        windows.setdefault((piece.owner, piece.side), []).append(place)
    weights = torch.tensor([float(piece.weight) for piece in pieces]).reshape(-1, *[1] * (read.dim() - 1))
    means = [(read[its] * weights[its]).sum(0) / weights[its].sum() for its in windows.values()]
    first = [its[0] for its in windows.values()]
    pieces, targets = [pieces[place] for place in first], [targets[place] for place in first]
    rows = list(torch.arange(len(means)).split(1))
    return _Given(torch.stack(means), pieces, targets, loss.beside_of(pieces), rows)


def _sample(loss: ExampleLoss, seed: int) -> list[int]:
    """The places of the pieces to fit to, those of one example together: all, or as many as there is room
    for, drawn."""
    model = loss.predictor.model
    layers = 1 if model.mix is None else len(model.mix.weights)
    room = MOST_BYTES // (4 * layers * model.body.config.width)
    rows = np.array([model.states_read(piece) for piece in loss.pieces])
    if rows.sum() <= room:
        return list(range(len(rows)))
    owner = np.array([piece.owner for piece in loss.pieces])
    drawn = np.random.Generator(np.random.Philox(key=seed)).permutation(len(loss.examples))
    size = np.bincount(owner, rows, len(loss.examples))
    kept = np.zeros(len(size), dtype=bool)
    kept[drawn[np.cumsum(size[drawn]) <= room]] = True
    return np.flatnonzero(kept[owner]).tolist()
