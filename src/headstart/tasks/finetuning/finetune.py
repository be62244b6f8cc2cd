"""Fine-tuning: a pre-trained model, or the same one from random weights, on labelled examples."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer, build
from headstart.tasks.counted_path import counted_path
from headstart.tasks.data.dataset import check_trainable
from headstart.tasks.data.splitting import folds
from headstart.tasks.examples import Examples
from headstart.tasks.facts import TaskFacts, Training
from headstart.tasks.finetuning.adaptation import adapt, layers_above, learning, parameter_groups
from headstart.tasks.finetuning.batches import ExampleLoss, set_apart
from headstart.tasks.finetuning.embedding_choice import Evidence, can_leave, weigh_evidence
from headstart.tasks.finetuning.feature_cache import features
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.head_fit import fit_head
from headstart.tasks.finetuning.learn import Learned, learn
from headstart.tasks.finetuning.lora import merge_low_rank
from headstart.tasks.finetuning.network_share import network_share
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.kinds.registry import kind_of
from headstart.tasks.learned_inputs import kept_of, read_learned_inputs
from headstart.tasks.model import TaskModel, head_kind
from headstart.tasks.predictor import Predictor
from headstart.training.machine import keep_freed_memory

TRIAL_FOLDS = 4
"""One in so many examples is held out of a trial, where there are no validation data."""
MOST_ASKED = 300
"""Held-out examples that weigh the network. Its one number is sure long before; most of a trial is reading
long texts."""
Watch = Callable[[Predictor, int, int, float | None, float | None], None]
"""Told the model as it is, the step, the number of steps, the loss, the score on validation data; see
`learn`."""
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
    watch: Watch | None = None,
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
        watch: looks on; where a head alone is fitted at once, when it is done.

    Raises:
        HeadstartError: the family has no head for the task, one class alone, a loss that is no number, or
            random weights that are not to learn.
    """
    _refuse_contradictions(train, recipe, scratch)
    earlier = None if scratch or loaded.folder is None else read_learned_inputs(loaded.folder)
    learned_inputs = kept_of(train.inputs, earlier)
    if validation is None:
        train, validation = set_apart(train, recipe, seed)
    keep_freed_memory()
    started = time.perf_counter()
    predictor = _fitted(loaded, train, recipe, seed, scratch, progress, validation, watch)
    share = None
    if predictor.counted is not None and not recipe.is_probe:  # a head is fitted beside the counts
        if validation is not None:
            share = network_share(predictor, validation)
        else:
            share = _trial(loaded, train, recipe, seed, scratch)
        predictor.scale_network(share)
    made = replace(predictor.training, network_share=share, seconds=round(time.perf_counter() - started, 3))
    predictor.facts = replace(predictor.facts, training=made)
    predictor.learned_inputs = learned_inputs
    return predictor


def _trial(loaded: LoadedModel, train: Examples, recipe: FinetuneRecipe, seed: int, scratch: bool) -> float:
    """How much the network counts beside counted words, told by a part of the examples that a model like it
    has not learned from."""
    part = folds(train, TRIAL_FOLDS, seed)[0]
    rest = train.subset(sorted(set(range(len(train))) - set(part)))
    if train.labels and len(rest.occurring) < 2:
        return 1.0
    asked = part[:: -(-len(part) // MOST_ASKED)]
    return network_share(_fitted(loaded, rest, recipe, seed, scratch), train.subset(asked))


def _fitted(
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    scratch: bool = False,
    progress: bool = False,
    validation: Examples | None = None,
    watch: Watch | None = None,
) -> Predictor:
    """A model that has learned from all of `train`; the arguments are those of `finetune`."""
    kind = kind_of(train.task, train.in_words)
    loaded = kind.prepared(loaded)
    with torch.random.fork_rng(devices=[]):  # torch fills new layers with random numbers of its own
        model = start(loaded, train, recipe, seed, scratch)
        adapt(model, recipe, seed)
    predictor = Predictor(model, loaded.tokenizer, kind.labels(train), base=loaded.folder)
    most = _most_tokens(loaded.model.config, recipe.max_tokens)
    predictor.facts = TaskFacts(max_tokens=most, in_words=train.in_words)
    counted = None
    if recipe.counted_words == "auto" and recipe.adapt != "lora":  # an adapter has transformers' head
        counted = counted_path(train, seed)
    if counted is not None and model.head is not None and model.head.output.bias is not None:
        nn.init.zeros_(model.head.output.bias)  # how common a label is, counted words say
    predictor.counted = None if counted is None else counted.head
    beside = None if counted is None else counted.held_out
    reads_masks = loaded.head in MASKED and not scratch
    hidden = recipe.hidden_tokens if reads_masks else 0.0
    states = partial(features, loaded.model, model, padding=predictor.padding)
    keep = states if recipe.is_probe else None
    loss = ExampleLoss(predictor, train, seed, hidden, keep, beside)
    predictor.facts = replace(kind.facts(train, loss.pieces), max_tokens=most, reading=train.reading)
    rate = recipe.rate(model.body.config.width, scratch)
    decay = 1.0 if scratch or recipe.adapt == "lora" else recipe.layer_decay
    evidence = None
    if recipe.embedding == "auto" and recipe.adapt == "full" and not scratch:
        table_rate = rate * decay ** layers_above(model.body.config, "body.embedding.weight")
        evidence = _evidence(loaded, loss, train, table_rate * recipe.steps(len(loss)), seed)
    held = recipe.embedding == "hold" or (evidence is not None and evidence.hold)
    if held:
        model.body.embedding.weight.requires_grad_(False)
    learning_weights = learning(model)
    fitted = None
    if recipe.is_probe:
        fitted = fit_head(loss, states, seed)
        share = fitted.counted_share
        if counted is not None and share == 0:
            counted = predictor.counted = loss.beside = None
        elif counted is not None and share < 1:
            predictor.counted = counted.head.changed(share, np.zeros(len(predictor.labels)))
            loss.beside = [share * each for each in counted.held_out]
    judge = None
    if validation is not None:
        judge = ExampleLoss(predictor, validation, seed, keep=keep).goodness
    looks = None if watch is None else partial(watch, predictor)
    if recipe.is_probe:
        assert fitted is not None
        model.eval()
        learned = Learned.at_once(fitted.steps, fitted.loss, judge)
        if looks is not None:
            looks(learned.steps, learned.steps, learned.loss, None)
            if learned.curve:
                looks(learned.steps, learned.steps, None, learned.curve[-1]["score"])
    else:
        groups = parameter_groups(model, rate, decay, recipe.weight_decay)
        learned = learn(model, loss, groups, len(loss), recipe, seed, judge, progress, looks)
    predictor.changes = merge_low_rank(model.body)
    training = Training(
        examples=len(train),
        steps=learned.steps,
        seed=seed,
        from_scratch=scratch,
        adapt=recipe.adapt,
        validation_examples=0 if validation is None else len(validation),
        learning_weights=learning_weights,
        learning_rate=None if recipe.is_probe else rate,
        head_strength=None if fitted is None else fitted.strength,
        tokens=loss.tokens,
        passes=learned.steps * (len(loss) if recipe.is_probe else recipe.batch(len(loss))),
        last_loss=round(learned.loss, 4),
        left_out=len(train) - len(loss),
        windowed_examples=loss.draw.windowed,
        embedding_held=held and recipe.adapt == "full",
        vectors_told=None if evidence is None else round(evidence.vectors, 4),
        counts_told=None if evidence is None else round(evidence.counts, 4),
        counted_told=None if counted is None else round(counted.told, 4),
        kept_step=learned.kept if learned.curve else None,
        validation=learned.curve or None,
    )
    predictor.facts = replace(predictor.facts, mix=model.layer_weights(), training=training)
    return predictor


def _refuse_contradictions(train: Examples, recipe: FinetuneRecipe, scratch: bool) -> None:
    """Raise a `HeadstartError` where data and settings leave nothing to learn, or nothing to keep."""
    check_trainable(train, "the training data")
    if scratch and recipe.adapt != "full":
        raise HeadstartError(f"random weights know nothing to keep, as adapt={recipe.adapt} does; take full")
    if scratch and recipe.embedding == "hold":
        raise HeadstartError("random vectors know nothing to keep, as embedding=hold does; leave it out")
    if recipe.is_probe and recipe.reinitialise:
        raise HeadstartError(
            f"reinitialised layers would never learn with adapt={recipe.adapt}; leave one out"
        )


def _evidence(
    loaded: LoadedModel, loss: ExampleLoss, train: Examples, rates: float, seed: int
) -> Evidence | None:
    """What the labels say of the pre-trained vectors; None: the labels are not those of single texts (neither
    a mean nor counts tell how two texts relate), they are too few, or the vectors cannot go far.

    Args:
        rates: the peak rate of the embedding, times the steps.
    """
    if train.task != "classification" or train.in_words or isinstance(train.inputs[0], tuple):
        return None
    table = loaded.model.embedding.weight.detach().cpu().float().numpy()
    if not can_leave(table, rates):
        return None
    return weigh_evidence(table, loss.pieces, train.targets, seed)


def _most_tokens(config: TransformerConfig, wanted: int) -> int:
    """How many tokens of an example can be read: learned positions end with the table."""
    return min(wanted, config.context) if config.position == "learned" else wanted


def start(
    loaded: LoadedModel, train: Examples, recipe: FinetuneRecipe, seed: int, scratch: bool
) -> TaskModel:
    """The model before the first update: the body's weights, and a head of small random ones; a model that
    writes has its own output for a head.

    Raises:
        HeadstartError: the family has no head for the task, or the model no longer writes.
    """
    family, config = family_named(loaded.model.config.family), loaded.model.config
    kind = kind_of(train.task, train.in_words)
    begin = decoder_start(family, loaded.tokenizer) if config.architecture == "encoder-decoder" else 0
    head = None
    if isinstance(kind, Scored):
        head = head_kind(config, train.task, _reads_mean(loaded, recipe))
        config = _body_config(config, family.heads[head], recipe)
    elif loaded.head != kind.head_of(config.architecture):
        raise HeadstartError(f"this model was fine-tuned for {loaded.head}, and writes no text; take another")
    else:
        config = replace(config, context=max(config.context, _most_tokens(config, recipe.max_tokens)))
    body = build(config, seed, loaded.model.dtype)
    if not scratch:
        begin_with(body, loaded.model, recipe.reinitialise)
    labels = len(kind.labels(train))
    vectors = loaded.vectors if train.task == "embedding" else None
    model = TaskModel(
        body, train.task, labels, recipe.dropout, begin, writes=head is None, head=head, vectors=vectors
    )
    if isinstance(kind, Scored) and model.head is not None:
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
    config = loaded.model.config
    says_more = loaded.mean_is_vector or config.architecture == "encoder-decoder"
    has_one = "mean-classification" in family_named(config.family).heads
    return says_more and has_one and recipe.adapt != "lora"


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
    if shape.encoder_alone and config.architecture != "encoder":
        config = replace(config, architecture="encoder", layers=config.encoder_layers, encoder_layers=0)
    return config
