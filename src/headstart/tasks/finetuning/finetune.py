"""Fine-tuning: a pre-trained model, or the same one from random weights, on labelled examples."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer, build
from headstart.tasks.data.dataset import check_trainable
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.adaptation import adapt, layers_above, learning, parameter_groups
from headstart.tasks.finetuning.batch_sampling import Hide, WindowDraw
from headstart.tasks.finetuning.feature_cache import Features, features
from headstart.tasks.finetuning.finetune_generative import finetune_writing
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.learn import learn
from headstart.tasks.finetuning.lora import merge_low_rank
from headstart.tasks.finetuning.validation import from_features, main_score, set_apart
from headstart.tasks.kinds.generative import Writing
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.kinds.packing import pack
from headstart.tasks.kinds.registry import KINDS, kind_of
from headstart.tasks.model import TaskModel, head_kind
from headstart.tasks.predictor import Predictor
from headstart.training.machine import keep_freed_memory

MASKED = ("masked", "pretraining")
"""Heads of models that have just learned to read around hidden tokens."""


def finetune(
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    scratch: bool = False,
    progress: bool = False,
    validation: Examples | None = None,
) -> Predictor:
    """Train a task model on `train`, in the recipe's way of adapting; `loaded` stays as it was.

    Args:
        loaded: a pre-trained model; its computing precision is used.
        train: what to learn from.
        recipe: the settings.
        seed: of the order of examples, the classifier's first weights and dropout.
        scratch: start from random weights of the same architecture.
        progress: show a bar.
        validation: chooses the best weights; None: a part of `train`, see `set_apart`.

    Raises:
        HeadstartError: the family has no head for the task, one class alone, a loss that is no number, or
            random weights that are not to learn.
    """
    check_trainable(train, "the training data")
    if scratch and recipe.adapt != "full":
        raise HeadstartError(f"random weights know nothing to keep, as adapt={recipe.adapt} does; take full")
    if recipe.is_probe and recipe.reinitialise:
        raise HeadstartError(
            f"reinitialised layers would never learn with adapt={recipe.adapt}; leave one out"
        )
    if validation is None:
        train, validation = set_apart(train, recipe, seed)
    keep_freed_memory()
    started = time.perf_counter()
    kind = kind_of(train.task, train.in_words)
    if isinstance(kind, Writing):
        return finetune_writing(kind, loaded, train, recipe, seed, scratch, progress, validation)
    assert isinstance(kind, Scored)
    labels = kind.labels(train)
    with torch.random.fork_rng(devices=[]):  # torch fills new layers with random numbers of its own
        model = start(loaded, train, recipe, seed, scratch)
        adapt(model, recipe, seed)
    facts: dict[str, Any] = {
        "adapt": recipe.adapt,
        "examples": len(train),
        "validation_examples": 0 if validation is None else len(validation),
        "max_tokens": _most_tokens(loaded.model.config, recipe.max_tokens),
        "learning_weights": learning(model),
        "learning_rate": recipe.rate(model.body.config.width, scratch),
        "seed": seed,
        "from_scratch": scratch,
    }
    if train.task == "question-answering":
        facts["unanswerable"] = not all(train.targets)
    elif train.task in ("classification", "multi-label", "regression"):
        facts["pairs"] = isinstance(train.inputs[0], tuple)
    predictor = Predictor(model, loaded.tokenizer, labels, facts, base=loaded.folder)
    reads_masks = loaded.head in MASKED and not scratch
    loss = _Loss(predictor, train, recipe.hidden_tokens if reads_masks else 0.0, seed)
    judge: Callable[[], float] | None = None
    if validation is not None:
        judge = partial(main_score, predictor, validation)
    if recipe.is_probe:
        loss.features = features(loaded.model, model, loss.pieces, loss.padding)
        if validation is not None:
            pieces = kind.encode(loaded.tokenizer, validation.inputs, predictor.max_tokens)
            states = features(loaded.model, model, pieces, loss.padding)
            judge = from_features(predictor, validation, pieces, states)
    decay = 1.0 if scratch or recipe.adapt == "lora" else recipe.layer_decay
    groups = parameter_groups(model, facts["learning_rate"], decay, recipe.weight_decay)
    learned = learn(model, loss, groups, len(train), recipe, seed, judge, progress)
    predictor.changes = merge_low_rank(model.body)
    facts |= {
        "windowed_examples": loss.draw.windowed,
        "steps": learned.steps,
        "tokens": loss.tokens,
        "passes": learned.steps * recipe.batch(len(train)),
        "seconds": round(time.perf_counter() - started, 3),
        "last_loss": round(learned.loss, 4),
    }
    if learned.curve:
        facts |= {"kept_step": learned.kept, "validation": learned.curve}
    if model.mix is not None:
        facts["mix"] = {
            "gamma": float(model.mix.gamma.detach()),
            "weights": model.mix.weights.detach().softmax(0).tolist(),
        }
    return predictor


class _Loss:
    """The loss of a batch of examples: a window of each, packed into rows and read by the model, or its
    states where these are known."""

    def __init__(self, predictor: Predictor, train: Examples, hidden_share: float, seed: int) -> None:
        self.model, self.kind = predictor.model, KINDS[predictor.task]
        self.pieces = self.kind.encode(predictor.tokenizer, train.inputs, predictor.max_tokens)
        self.targets = self.kind.targets(train, self.pieces, predictor.labels)
        self.draw = WindowDraw(self.pieces, seed, self.kind.telling(self.targets))
        self.hide = Hide(predictor.tokenizer, hidden_share)
        self.padding = predictor.tokenizer.special.pad or 0
        self.features: Features | None = None
        self.tokens = 0
        """Read so far."""

    def __call__(self, examples: Sequence[int]) -> Tensor:
        drawn = self.draw(examples)
        pieces = [self.pieces[i] for i in drawn]
        self.tokens += sum(len(piece.ids) for piece in pieces)
        if self.features is not None:
            outputs = self.model.score(self.features.of(drawn))
        else:
            outputs = self.model(pack(self.hide(pieces), self.padding))
        return self.kind.loss(outputs, [self.targets[i] for i in drawn], pieces)


def _most_tokens(config: TransformerConfig, wanted: int) -> int:
    """How many tokens of an example can be read: learned positions end with the table."""
    return min(wanted, config.context) if config.position == "learned" else wanted


def start(
    loaded: LoadedModel, train: Examples, recipe: FinetuneRecipe, seed: int, scratch: bool
) -> TaskModel:
    """The model before the first update: the body's weights, and a head of small random ones."""
    family = family_named(loaded.model.config.family)
    head = head_kind(family.NAME, train.task, _reads_mean(loaded, recipe))
    shape = family.HEADS[head]
    body = build(_body_config(loaded.model.config, shape, recipe), seed, loaded.model.dtype)
    if not scratch:
        begin_with(body, loaded.model, recipe.reinitialise)
    begin = decoder_start(family, loaded.tokenizer) if body.config.architecture == "encoder-decoder" else 0
    kind = KINDS[train.task]
    model = TaskModel(body, train.task, len(kind.labels(train)), recipe.dropout, begin, head=head)
    if model.head is not None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.head.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.02, generator=generator)
            else:
                nn.init.zeros_(parameter)
        kind.begin(model.head, train)
    return model


def _reads_mean(loaded: LoadedModel, recipe: FinetuneRecipe) -> bool:
    """What the recipe's pooling comes to. PEFT knows an adapter's head by transformers' class alone."""
    if recipe.pooling != "auto":
        return recipe.pooling == "mean"
    has_one = "mean-classification" in family_named(loaded.model.config.family).HEADS
    return loaded.mean_is_vector and has_one and recipe.adapt != "lora"


def begin_with(body: Transformer, source: Transformer, reinitialise: int) -> None:
    """Take the weights of `source` into `body`, whose `reinitialise` highest layers and pooler stay random,
    with that setting above 0."""
    own = set(body.state_dict())
    taken = {
        name: tensor
        for name, tensor in source.state_dict().items()
        if name in own and not (reinitialise and _is_top(body, name, reinitialise))
    }
    body.load_state_dict(taken, strict=False)


def _is_top(body: Transformer, name: str, layers: int) -> bool:
    return name.startswith("pooler.") or (".blocks." in name and layers_above(body.config, name) <= layers)


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
        dropout=0.0,  # drawing it takes a third of the time; see docs/research-log.md, section 7
    )
    if shape.encoder_alone:
        config = replace(config, architecture="encoder", layers=config.encoder_layers, encoder_layers=0)
    return config
