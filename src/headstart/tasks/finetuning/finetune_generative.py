"""Fine-tuning of models that write: text to text, and conversations."""

import time
from copy import copy
from dataclasses import replace
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.generation.chat import TEMPLATE
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.registry import family_named
from headstart.models.transformer import build
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.adaptation import adapt, learning, parameter_groups
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.learn import learn
from headstart.tasks.finetuning.lora import merge_low_rank
from headstart.tasks.finetuning.sequence_batches import Lessons, fitting
from headstart.tasks.kinds.generative import Writing, writing_head
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor
from headstart.tokenizer.base import Tokenizer


def finetune_writing(
    kind: Writing,
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    scratch: bool = False,
    progress: bool = False,
    validation: Examples | None = None,
) -> Predictor:
    """Train a model to write the answers of `train`; `loaded` stays as it was.

    Examples longer than `max_tokens` are left out and counted. The best weights are those with the lowest
    loss on the validation data. What the model writes later is at most as long as the longest answer here.

    Args: as in `finetune`.

    Raises:
        HeadstartError: the model does not write, or all examples are too long; see also `finetune`.
    """
    started = time.perf_counter()
    config = loaded.model.config
    if loaded.head != writing_head(config.architecture):
        raise HeadstartError(f"this model was fine-tuned for {loaded.head}, and writes no text; take another")
    if train.task == "chat" and "chat_template" not in loaded.tokenizer.config:
        loaded = replace(loaded, tokenizer=_with_template(loaded.tokenizer))
    most = min(recipe.max_tokens, config.context) if config.position == "learned" else recipe.max_tokens
    labels = kind.labels(train)
    lessons, left_out = fitting(kind, loaded, train, labels, most)
    config = replace(config, context=max(config.context, most))
    begin = decoder_start(family_named(config.family), loaded.tokenizer) if config.encoder_layers else 0
    with torch.random.fork_rng(devices=[]):
        body = build(config, seed, loaded.model.dtype)
        if not scratch:
            body.load_state_dict(loaded.model.state_dict())
        model = TaskModel(body, train.task, 0, decoder_start=begin, writes=True)
        adapt(model, recipe, seed)
    weights = learning(model)
    padding = loaded.tokenizer.special.pad or 0
    loss = Lessons(model, lessons, padding)
    judge = None
    if validation is not None:
        judge = Lessons(model, fitting(kind, loaded, validation, labels, most)[0], padding).goodness
    decay = 1.0 if scratch or recipe.adapt == "lora" else recipe.layer_decay
    groups = parameter_groups(model, recipe.rate(config.width, scratch), decay, recipe.weight_decay)
    learned = learn(model, loss, groups, len(lessons), recipe, seed, judge, progress)
    changes = merge_low_rank(model.body)
    facts: dict[str, Any] = {
        "adapt": recipe.adapt,
        "examples": len(train),
        "validation_examples": 0 if validation is None else len(validation),
        "learning_weights": weights,
        "left_out": left_out,
        "max_tokens": most,
        "longest": max(len(one.answer) for one in lessons),
        "labels": labels,
        "in_words": train.in_words,
        "steps": learned.steps,
        "tokens": loss.tokens,
        "passes": learned.steps * recipe.batch(len(lessons)),
        "seconds": round(time.perf_counter() - started, 3),
        "last_loss": round(learned.loss, 4),
        "seed": seed,
        "from_scratch": scratch,
    }
    if learned.curve:
        facts |= {"kept_step": learned.kept, "validation": learned.curve}
    return Predictor(model, loaded.tokenizer, labels, facts | kind.facts(train), changes, loaded.folder)


def _with_template(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which also marks the turns of conversations."""
    made = copy(tokenizer)
    made.config = tokenizer.config | {"chat_template": TEMPLATE}
    return made
