"""Full fine-tuning: a pre-trained model, or the same one from random weights, on labelled examples."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field
from torch import nn

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape
from headstart.models.registry import family_named
from headstart.models.transformer import build
from headstart.progress import Bar
from headstart.recipe import Recipe
from headstart.tasks.data import check_trainable
from headstart.tasks.examples import Examples
from headstart.tasks.kinds import KINDS
from headstart.tasks.model import TaskModel, head_shape
from headstart.tasks.packing import Piece, Rows, pack
from headstart.tasks.predictor import Predictor
from headstart.tokenizer.base import Tokenizer
from headstart.training.machine import keep_freed_memory

# Tables of a stack that are looked up before its first block.
EMBEDDINGS = ("positions.weight", "token_types.weight", "relative_bias.weight")


class FinetuneRecipe(Recipe):
    """Settings of `headstart finetune`."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak of AdamW, for pre-trained weights."""
    scratch_learning_rate: float = Field(1e-3, gt=0)
    """The same for random weights, which want another one."""
    epochs: float = Field(10.0, gt=0)
    """Passes over the examples, within `min_steps` and `max_steps`."""
    min_steps: int = Field(60, ge=1)
    """Few examples are gone over more often: Mosbach et al. 2020 found too few steps to be what makes
    fine-tuning unstable."""
    max_steps: int = Field(600, ge=1)
    batch_examples: int = Field(8, ge=1)
    max_tokens: int = Field(128, ge=8)
    """Tokens that are read at once, special tokens included; a longer text is read in windows."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the rate rises; then it falls linearly to 0."""
    weight_decay: float = Field(0.01, ge=0)
    """On matrices and the embedding."""
    layer_decay: float = Field(0.8, gt=0, le=1)
    """The rate of every layer, as a share of the next higher one's (Howard & Ruder 2018); 1: all alike."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On what the classifier reads."""
    hidden_tokens: float = Field(0.15, ge=0, lt=1)
    """Share of the tokens that training replaces by the mask, where the tokenizer has one, new ones every
    time: the encoder knows how to read around them, and few examples go further."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""

    def steps(self, examples: int) -> int:
        """How many updates a training set of that size gets."""
        epochs = math.ceil(self.epochs * examples / min(self.batch_examples, examples))
        return max(self.min_steps, min(self.max_steps, epochs))


def finetune(
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    scratch: bool = False,
    progress: bool = False,
) -> Predictor:
    """Train every weight on `train`; `loaded` stays as it was.

    Args:
        loaded: a pre-trained model; its computing precision is used.
        train: what to learn from.
        recipe: the settings.
        seed: of the order of examples, the classifier's first weights and dropout.
        scratch: start from random weights of the same architecture.
        progress: show a bar.

    Raises:
        HeadstartError: the family has no head for the task, one class alone, or a loss that is no number.
    """
    check_trainable(train, "the training data")
    keep_freed_memory()
    started = time.perf_counter()
    kind = KINDS[train.task]
    labels = kind.labels(train)
    tokenizer = loaded.tokenizer
    max_tokens = _most_tokens(loaded.model.config, recipe.max_tokens)
    pieces = kind.encode(tokenizer, train.inputs, max_tokens)
    targets = kind.targets(train, pieces, labels)
    draw = WindowDraw(pieces, seed, kind.telling(targets))
    with torch.random.fork_rng(devices=[]):  # torch fills new layers with random numbers of its own
        model = _start(loaded, train, recipe, seed, scratch)
    rate = recipe.scratch_learning_rate if scratch else recipe.learning_rate
    optimiser = torch.optim.AdamW(
        _groups(model, recipe, 1.0 if scratch else recipe.layer_decay, rate), fused=True
    )
    hide = _Hide(tokenizer, 0.0 if scratch else recipe.hidden_tokens)
    padding = tokenizer.special.pad or 0
    peaks = [group["lr"] for group in optimiser.param_groups]
    steps = recipe.steps(len(train))
    model.train()
    last, tokens = math.nan, 0
    with torch.random.fork_rng(devices=[]), _bar(steps, progress) as bar:
        torch.manual_seed(seed)  # dropout
        for step, batch in zip(range(steps), _order(len(train), recipe.batch_examples, seed), strict=False):
            drawn = draw(batch)
            read = [pieces[i] for i in drawn]
            tokens += sum(len(piece.ids) for piece in read)
            outputs = model(hide(pack(read, padding)))
            loss = kind.loss(outputs, [targets[i] for i in drawn], read)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * _rate_share(step, steps, recipe.warmup_share)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            last = float(loss.detach())
            if not math.isfinite(last):
                raise HeadstartError(
                    f"the loss became {last} at step {step + 1}; lower the learning rate, {rate:g}"
                )
            if bar is not None:
                bar.advance(1, f"loss {last:.3f}")
    facts = {
        "examples": len(train),
        "max_tokens": max_tokens,
        "windowed_examples": draw.windowed,
        "steps": steps,
        "tokens": tokens,
        "passes": steps * min(recipe.batch_examples, len(train)),
        "seconds": round(time.perf_counter() - started, 3),
        "last_loss": round(last, 4),
        "seed": seed,
        "from_scratch": scratch,
    }
    if train.task == "question-answering":
        facts["unanswerable"] = not all(train.targets)
    elif train.task in ("classification", "multi-label", "regression"):
        facts["pairs"] = isinstance(train.inputs[0], tuple)
    return Predictor(model.eval(), loaded.tokenizer, labels, facts)


class _Hide:
    """Replaces a share of the ordinary tokens in rows by the mask."""

    def __init__(self, tokenizer: Tokenizer, share: float) -> None:
        special = tokenizer.special
        self.mask = special.mask or 0
        self.share = 0.0 if special.mask is None else share
        self.ordinary = torch.ones(tokenizer.vocab_size, dtype=torch.bool)
        self.ordinary[list(special.all)] = False

    def __call__(self, rows: Rows) -> Rows:
        hidden = (torch.rand(rows.ids.shape) < self.share) & self.ordinary[rows.ids]
        return replace(rows, ids=rows.ids.masked_fill(hidden, self.mask))


def _most_tokens(config: TransformerConfig, wanted: int) -> int:
    """How many tokens of an example can be read: learned positions end with the table."""
    return min(wanted, config.context) if config.position == "learned" else wanted


def _start(
    loaded: LoadedModel, train: Examples, recipe: FinetuneRecipe, seed: int, scratch: bool
) -> TaskModel:
    """The model before the first update: the body's weights, and a head of small random ones."""
    family = family_named(loaded.model.config.family)
    shape = head_shape(family.NAME, train.task)
    body = build(_body_config(loaded.model.config, shape, recipe), seed, loaded.model.dtype)
    if not scratch:
        own = body.state_dict()
        body.load_state_dict({n: t for n, t in loaded.model.state_dict().items() if n in own}, strict=False)
    start = decoder_start(family, loaded.tokenizer) if body.config.architecture == "encoder-decoder" else 0
    kind = KINDS[train.task]
    model = TaskModel(body, train.task, len(kind.labels(train)), recipe.dropout, start)
    if model.head is not None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.head.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.02, generator=generator)
            else:
                nn.init.zeros_(parameter)
        kind.begin(model.head, train)
    return model


def _body_config(config: TransformerConfig, shape: HeadShape, recipe: FinetuneRecipe) -> TransformerConfig:
    """The pre-trained model without the parts that the head does not use, with those that it does."""
    config = replace(
        config,
        context=config.context if config.position == "learned" else recipe.max_tokens,
        prediction_head=shape.through == "prediction head",
        output_bias=False,
        tied=True,  # an output over the vocabulary is not kept
        pooler=shape.through == "pooler",
        next_sentence=False,
    )
    if shape.encoder_alone:
        config = replace(config, architecture="encoder", layers=config.encoder_layers, encoder_layers=0)
    return config


class WindowDraw:
    """Which pieces stand for examples in a step: of a text in windows one, drawn anew every time, so that
    long examples cost and count as much as short ones and are still read from end to end."""

    def __init__(self, pieces: Sequence[Piece], seed: int, telling: Sequence[bool] | None = None) -> None:
        """Of a text with windows that are `telling`, every second draw is one of those."""
        self.telling = telling
        self.random = np.random.Generator(np.random.Philox(key=seed))
        self.places: dict[int, dict[int, list[int]]] = {}  # example -> side -> its windows
        for place, piece in enumerate(pieces):
            self.places.setdefault(piece.owner, {}).setdefault(piece.side, []).append(place)

    @property
    def windowed(self) -> int:
        """How many examples have more than one window."""
        return sum(any(len(one) > 1 for one in sides.values()) for sides in self.places.values())

    def __call__(self, examples: Sequence[int]) -> list[int]:
        """Places of pieces: those of one example follow each other, in the order of its sides."""
        drawn = []
        for example in examples:
            for windows in self.places[example].values():
                drawn.append(self._one_of(windows) if len(windows) > 1 else windows[0])
        return drawn

    def _one_of(self, windows: list[int]) -> int:
        telling = [place for place in windows if self.telling is not None and self.telling[place]]
        if telling and self.random.random() < 0.5:
            windows = telling
        return windows[self.random.integers(len(windows))]


def _order(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Batches of `size` places without end, every place once before any comes again."""
    random = np.random.Generator(np.random.Philox(key=seed))
    waiting: list[int] = []
    while True:
        while len(waiting) < min(size, count):
            waiting += random.permutation(count).tolist()
        yield waiting[: min(size, count)]
        waiting = waiting[min(size, count) :]


def _bar(steps: int, shown: bool) -> AbstractContextManager[Bar | None]:
    return Bar("fine-tune", steps, "steps") if shown else nullcontext()


def _rate_share(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak rate at a step counted from 0: linear rise, then fall to 0 behind the last."""
    warmup = math.ceil(warmup_share * steps)
    return (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)


def _groups(model: TaskModel, recipe: FinetuneRecipe, decay: float, rate: float) -> list[dict[str, object]]:
    """Parameter groups by depth: each layer below the head has `decay` times the rate of the one above."""
    config = model.body.config
    top = (
        config.layers if config.architecture == "encoder-decoder" else 0
    )  # the decoder stands on the encoder
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        below = 0
        if ".blocks." in name:
            stack = model.body.encoder if name.startswith("body.encoder.") else model.body.decoder
            above = top if stack is model.body.encoder else 0
            assert stack is not None
            below = above + len(stack.blocks) - int(name.split(".blocks.")[1].split(".")[0])
        elif name.startswith("body.embedding") or name.endswith(EMBEDDINGS) or ".embedding_norm" in name:
            below = config.layers + config.encoder_layers + 1
        groups.setdefault((below, parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * decay**below,
            "weight_decay": recipe.weight_decay if matrix else 0.0,
        }
        for (below, matrix), parameters in groups.items()
    ]
