"""What fits into the minutes given: sizes and steps, from the speed measured on this machine."""

from pathlib import Path

from headstart.recipe import Recipe
from headstart.tasks.data import Task
from headstart.tasks.finetune import FinetuneRecipe
from headstart.tasks.packing import encode
from headstart.tokenizer.bpe import Tokenizer
from headstart.training.loop import seconds_per_step
from headstart.training.recipe import ModelRecipe, ObjectiveRecipe, PretrainRecipe

# How the time left after the corpus is shared out.
ENCODER_SHARE, DECODER_SHARE, FINETUNE_SHARE = 0.45, 0.2, 0.35

# Layers, width, heads, feed-forward width, from small to large. The largest one that still sees
# `TOKENS_PER_PARAMETER` is taken: below that a smaller model learns more in the same time.
SIZES = ((2, 192, 3, 512), (4, 256, 4, 704), (6, 384, 6, 1024), (8, 512, 8, 1408), (12, 768, 12, 2048))
TOKENS_PER_PARAMETER = 0.5

LABELS = (100, 300, 1000, None)
SEEDS = (0, 1, 2)
# Fine-tuning: tokens read of a text where time is short, and the bounds of what a run sees.
SHORT_TEXT, LONG_ENOUGH = 64, 600.0
FEWEST_PASSES, MOST_PASSES = 200, 3000
TEST_EXAMPLES = 600
# A forward pass costs a third of a training step.
FORWARD_IS_CHEAPER = 3
PROMPTS = ["The ", "It was a", "In the beginning", "You can"]


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


def make_plan(tokens: Path, tasks: list[Task], seconds: float, precision: str, seed: int) -> Plan:
    """Share `seconds` out between the encoder, the decoder and fine-tuning.

    Args:
        tokens: the tokens folder.
        tasks: the labelled data; without any, pre-training gets all the time.
        precision: "float32" or "bfloat16", of the machine's faster sort.
    """
    finetune_share = FINETUNE_SHARE if tasks else 0.0
    rest = seconds * (1 - finetune_share) / (ENCODER_SHARE + DECODER_SHARE)
    encoder = _sized(tokens, "masked", rest * ENCODER_SHARE, precision, seed)
    decoder = _sized(tokens, "causal", rest * DECODER_SHARE, precision, seed)
    return Plan(
        encoder=encoder,
        decoder=decoder,
        finetune=_finetuning(encoder, tasks, seconds * finetune_share),
        labels=list(LABELS),
        seeds=list(SEEDS),
        test_examples=TEST_EXAMPLES,
    )


def _sized(tokens: Path, objective: str, seconds: float, precision: str, seed: int) -> PretrainRecipe:
    """The largest model that sees enough tokens in `seconds`, with as many steps as fit."""
    chosen: PretrainRecipe | None = None
    for layers, width, heads, feedforward_width in SIZES:
        recipe = PretrainRecipe(
            tokens=tokens,
            model=ModelRecipe(
                family="headstart-encoder" if objective == "masked" else "headstart-decoder",
                layers=layers,
                width=width,
                heads=heads,
                kv_heads=heads,
                feedforward_width=feedforward_width,
            ),
            objective=ObjectiveRecipe(kind=objective),
            start="static",
            precision=precision,
            seed=seed,
            prompts=PROMPTS if objective == "causal" else [],
        )
        cost, parameters = seconds_per_step(recipe)
        steps = max(20, int(seconds / cost))
        seen = steps * recipe.rows * recipe.context
        if chosen is not None and seen < TOKENS_PER_PARAMETER * parameters:
            break
        chosen = recipe.model_copy(
            update={
                "steps": steps,
                "evaluate_every": max(1, steps // 8),
                "checkpoint_every": max(1, min(steps // 8, int(20 / cost))),
            }
        )
    assert chosen is not None
    return chosen


def _finetuning(encoder: PretrainRecipe, tasks: list[Task], seconds: float) -> FinetuneRecipe:
    """How many examples each fine-tuning goes over, so that all of them together fit into `seconds`.

    Every task is fine-tuned twice (pre-trained and random weights) for each number of labels and
    seed. With 100 or 300 labels a run sees `passes` examples (some of them many times), with 1,000
    twice that, with all 3.5 times.
    """
    recipe = FinetuneRecipe(max_tokens=SHORT_TEXT if seconds < LONG_ENOUGH else encoder.context)
    if not tasks:
        return recipe
    cost, _ = seconds_per_step(encoder)
    speed = encoder.rows * encoder.context / cost  # trained tokens a second, all cores together
    tokenizer = Tokenizer(encoder.tokens / "tokenizer.json")
    lengths = []
    for task in tasks:
        pieces = encode(tokenizer, task.train.inputs[:300], recipe.max_tokens)
        lengths.append(sum(len(piece.ids) for piece in pieces) / 300 if pieces else recipe.max_tokens)
    runs = 2 * len(SEEDS)
    scoring = len(LABELS) * runs * sum(lengths) * TEST_EXAMPLES / FORWARD_IS_CHEAPER
    training = runs * (1 + 1 + 2 + 3.5) * sum(lengths)
    passes = (speed * seconds - scoring) / training
    passes = max(FEWEST_PASSES, min(MOST_PASSES, passes))
    steps = passes / recipe.batch_examples
    return recipe.model_copy(
        update={
            "min_steps": max(1, round(steps)),
            "epochs": round(2 * passes / 1000, 2),
            "max_steps": max(1, round(3.5 * steps)),
        }
    )
