"""Fine-tuning: a pre-trained model, or the same one from random weights, on labelled examples."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape
from headstart.models.registry import family_named
from headstart.models.transformer import build
from headstart.tasks.adaptation import parameter_groups
from headstart.tasks.data import check_trainable
from headstart.tasks.drawing import Hide, WindowDraw
from headstart.tasks.examples import Examples
from headstart.tasks.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds import KINDS
from headstart.tasks.learning import learn
from headstart.tasks.model import TaskModel, head_shape
from headstart.tasks.packing import pack
from headstart.tasks.predictor import Predictor
from headstart.training.machine import keep_freed_memory


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
    labels = KINDS[train.task].labels(train)
    max_tokens = _most_tokens(loaded.model.config, recipe.max_tokens)
    with torch.random.fork_rng(devices=[]):  # torch fills new layers with random numbers of its own
        model = start(loaded, train, recipe, seed, scratch)
    loss = _Loss(model, loaded, train, labels, max_tokens, 0.0 if scratch else recipe.hidden_tokens, seed)
    groups = parameter_groups(
        model,
        recipe.scratch_learning_rate if scratch else recipe.learning_rate,
        1.0 if scratch else recipe.layer_decay,
        recipe.weight_decay,
    )
    learned = learn(model, loss, groups, len(train), recipe, seed, progress)
    facts = {
        "examples": len(train),
        "max_tokens": max_tokens,
        "windowed_examples": loss.draw.windowed,
        "steps": learned.steps,
        "tokens": loss.tokens,
        "passes": learned.steps * min(recipe.batch_examples, len(train)),
        "seconds": round(time.perf_counter() - started, 3),
        "last_loss": round(learned.loss, 4),
        "seed": seed,
        "from_scratch": scratch,
    }
    if train.task == "question-answering":
        facts["unanswerable"] = not all(train.targets)
    elif train.task in ("classification", "multi-label", "regression"):
        facts["pairs"] = isinstance(train.inputs[0], tuple)
    return Predictor(model, loaded.tokenizer, labels, facts)


class _Loss:
    """The loss of a batch of examples: a window of each, packed into rows, read by the model."""

    def __init__(
        self,
        model: TaskModel,
        loaded: LoadedModel,
        train: Examples,
        labels: Sequence[str],
        max_tokens: int,
        hidden_share: float,
        seed: int,
    ) -> None:
        self.model, self.kind = model, KINDS[train.task]
        self.pieces = self.kind.encode(loaded.tokenizer, train.inputs, max_tokens)
        self.targets = self.kind.targets(train, self.pieces, labels)
        self.draw = WindowDraw(self.pieces, seed, self.kind.telling(self.targets))
        self.hide = Hide(loaded.tokenizer, hidden_share)
        self.padding = loaded.tokenizer.special.pad or 0
        self.tokens = 0
        """Read so far."""

    def __call__(self, examples: Sequence[int]) -> Tensor:
        drawn = self.draw(examples)
        pieces = [self.pieces[i] for i in drawn]
        self.tokens += sum(len(piece.ids) for piece in pieces)
        outputs = self.model(self.hide(pack(pieces, self.padding)))
        return self.kind.loss(outputs, [self.targets[i] for i in drawn], pieces)


def _most_tokens(config: TransformerConfig, wanted: int) -> int:
    """How many tokens of an example can be read: learned positions end with the table."""
    return min(wanted, config.context) if config.position == "learned" else wanted


def start(
    loaded: LoadedModel, train: Examples, recipe: FinetuneRecipe, seed: int, scratch: bool
) -> TaskModel:
    """The model before the first update: the body's weights, and a head of small random ones."""
    family = family_named(loaded.model.config.family)
    shape = head_shape(family.NAME, train.task)
    body = build(_body_config(loaded.model.config, shape, recipe), seed, loaded.model.dtype)
    if not scratch:
        own = body.state_dict()
        body.load_state_dict({n: t for n, t in loaded.model.state_dict().items() if n in own}, strict=False)
    begin = decoder_start(family, loaded.tokenizer) if body.config.architecture == "encoder-decoder" else 0
    kind = KINDS[train.task]
    model = TaskModel(body, train.task, len(kind.labels(train)), recipe.dropout, begin)
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
