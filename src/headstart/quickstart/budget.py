"""What fits into the minutes given: sizes and steps, from the speed measured on this machine."""

from pathlib import Path
from typing import Literal

from headstart.recipe import Recipe
from headstart.tasks.data.dataset import TaskData
from headstart.tasks.finetuning.finetune_recipe import NARROW, FinetuneRecipe
from headstart.tasks.kinds.registry import KINDS
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.recipe import ModelRecipe, ObjectiveRecipe, PretrainRecipe
from headstart.training.step_cost import step_cost

Precision = Literal["float32", "bfloat16"]

# How the time left after the corpus is shared out.
ENCODER_SHARE, DECODER_SHARE, FINETUNE_SHARE = 0.42, 0.15, 0.43
# The machine is measured at its best moment; the rest of the time it is a little slower.
SUSTAINED = 0.85

# Layers, width, heads, feed-forward width, from small to large. The largest one that still sees
# `TOKENS_PER_PARAMETER` is taken: below that a smaller model learns more in the same time.
SIZES = ((2, 192, 3, 512), (4, 256, 4, 704), (6, 384, 6, 1024), (8, 512, 8, 1408), (12, 768, 12, 2048))
TOKENS_PER_PARAMETER = 1.0
FEWEST_STEPS, EVALUATIONS, CHECKPOINT_SECONDS = 20, 8, 20.0

LABELS = (100, 300, 1000)  # and all of them
SEEDS = (0, 1, 2)
# Fine-tuning: the bounds of what a run with few labels sees, and how many times that with 100, 300, 1,000
# and all labels.
FEWEST_PASSES, MOST_PASSES = 200, 3000
MORE_PASSES = (1.0, 1.0, 1.5, 2.5)
BATCH_EXAMPLES = 8
# 25 steps at the default of 1e-3 change a small model too little (spam, 100 labels: 74 %, at 2e-3 80 %).
RATE_OF_FEW_STEPS = 2e-3
TEST_EXAMPLES = 600
FORWARD_IS_CHEAPER = 3  # than a training step
LENGTH_SAMPLE = 300
PROMPTS = ["The", "It was a", "In the beginning", "You can"]


class Plan(Recipe):
    """The resolved settings of every stage after the corpus; written once, obeyed by every restart."""

    encoder: PretrainRecipe
    decoder: PretrainRecipe
    finetune: FinetuneRecipe
    labels: list[int | None]
    """How many labelled examples; None: all."""
    seeds: list[int]
    test_examples: int
    """At most that many examples of each test set, to bound the time of scoring."""


def make_plan(tokens: Path, tasks: list[TaskData], seconds: float, precision: Precision, seed: int) -> Plan:
    """Share `seconds` out between the encoder, the decoder and fine-tuning.

    Args:
        tokens: the tokens folder.
        tasks: the labelled data; without any, pre-training gets all the time.
        precision: "float32" or "bfloat16", of the machine's faster sort.
    """
    seconds *= SUSTAINED
    finetune_share = FINETUNE_SHARE if tasks else 0.0
    rest = seconds * (1 - finetune_share) / (ENCODER_SHARE + DECODER_SHARE)
    encoder, step_seconds = _sized(tokens, "masked", rest * ENCODER_SHARE, precision, seed)
    decoder, _ = _sized(tokens, "causal", rest * DECODER_SHARE, precision, seed)
    speed = encoder.rows * encoder.context / step_seconds
    return Plan(
        encoder=encoder,
        decoder=decoder,
        finetune=_finetuning(encoder, tasks, seconds * finetune_share, speed),
        labels=[*LABELS, None],
        seeds=list(SEEDS),
        test_examples=TEST_EXAMPLES,
    )


def _sized(
    tokens: Path, objective: Literal["masked", "causal"], seconds: float, precision: Precision, seed: int
) -> tuple[PretrainRecipe, float]:
    """The largest model that sees enough tokens in `seconds`, with as many steps as fit; and the seconds
    that one step of it takes."""
    chosen: tuple[PretrainRecipe, float] | None = None
    for layers, width, heads, feedforward_width in SIZES:
        recipe = PretrainRecipe(
            tokens=tokens,
            model=ModelRecipe(
                family="headstart-encoder" if objective == "masked" else "headstart-decoder",
                layers=layers,
                width=width,
                heads=heads,
                feedforward_width=feedforward_width,
            ),
            objective=ObjectiveRecipe(kind=objective),
            start="static",
            precision=precision,
            seed=seed,
            prompts=PROMPTS if objective == "causal" else [],
        )
        cost = step_cost(recipe)
        steps = max(FEWEST_STEPS, int(seconds / cost.seconds))
        seen = steps * recipe.rows * recipe.context
        if chosen is not None and seen < TOKENS_PER_PARAMETER * cost.parameters:
            break
        settings = {
            "steps": steps,
            "evaluate_every": max(1, steps // EVALUATIONS),
            "checkpoint_every": max(1, int(CHECKPOINT_SECONDS / cost.seconds)),
        }
        chosen = recipe.model_copy(update=settings), cost.seconds
    assert chosen is not None
    return chosen


def _finetuning(
    encoder: PretrainRecipe, tasks: list[TaskData], seconds: float, speed: float
) -> FinetuneRecipe:
    """How many examples each fine-tuning goes over, so that all of them together fit into `seconds`.

    Every task is fine-tuned twice (pre-trained and random weights) for each number of labels and seed.
    With few labels a run sees `passes` examples, most of them many times; with more, `MORE_PASSES` as many.

    Args:
        speed: tokens that all cores together train on in a second.
    """
    recipe = FinetuneRecipe(
        learning_rate=RATE_OF_FEW_STEPS if encoder.model.width <= NARROW else None,
        max_tokens=encoder.context,
        validation_share=0,
        batch_examples=BATCH_EXAMPLES,
    )
    if not tasks:
        return recipe
    tokenizer = open_tokenizer(encoder.tokens)
    lengths = wholes = 0.0  # tokens of what training reads of an example, and of all its windows
    for task in tasks:
        sample = task.train.inputs[:LENGTH_SAMPLE]
        pieces = KINDS[task.kind].encode(tokenizer, sample, recipe.max_tokens)
        tokens = sum(len(piece.ids) for piece in pieces)
        wholes += tokens / len(sample)
        lengths += tokens / len(pieces)
    runs = 2 * len(SEEDS)
    scoring = runs * len(MORE_PASSES) * wholes * TEST_EXAMPLES / FORWARD_IS_CHEAPER
    passes = (speed * seconds - scoring) / (runs * sum(MORE_PASSES) * lengths)
    passes = max(FEWEST_PASSES, min(MOST_PASSES, passes))
    return recipe.model_copy(
        update={
            "min_steps": round(passes / BATCH_EXAMPLES),
            "epochs": round(MORE_PASSES[2] * passes / LABELS[2], 2),
            "max_steps": round(MORE_PASSES[3] * passes / BATCH_EXAMPLES),
        }
    )
