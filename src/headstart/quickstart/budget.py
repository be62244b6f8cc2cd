"""What fits into the minutes given: sizes and steps, from the speed measured on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from headstart.objectives.recipe import OBJECTIVES
from headstart.recipe import Recipe
from headstart.scaling.local_machine import Candidate, best_of, candidates
from headstart.scaling.width_rule import TUNED_WIDTH, rates_for_width
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.finetune_recipe import NARROW, FinetuneRecipe
from headstart.tasks.finetuning.learning_curve import NETWORKS, known_systems
from headstart.tasks.kinds.registry import KINDS
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.recipe import ModelRecipe, PretrainRecipe

Precision = Literal["float32", "bfloat16"]

# How the time left after the corpus is shared out.
ENCODER_SHARE, DECODER_SHARE, FINETUNE_SHARE = 0.42, 0.15, 0.43

LABELS = (100, 300, 1000)  # and all of them
SEEDS = (0, 1)
FITS_A_POINT = 1.75  # the fit, and the trial on three quarters of the labels that weighs it against counts
HELPS_TOKENS = 1_000_000  # what an encoder has to see to add to its static start; docs/head-start.md
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
    warnings: list[str] = []
    """What will not pay on this machine, and what is done instead."""

    @property
    def keeps_static(self) -> bool:
        """Whether the models that are kept start from counts, since training adds nothing in the time."""
        return bool(self.warnings)


def make_plan(tokens: Path, tasks: list[TaskData], seconds: float, precision: Precision, seed: int) -> Plan:
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
    finetuning_tokens = encoder.tokens_per_second * seconds * finetune_share
    return Plan(
        encoder=encoder.recipe,
        decoder=decoder.recipe,
        finetune=_finetuning(encoder.recipe, tasks, finetuning_tokens),
        labels=[*LABELS, None],
        seeds=list(SEEDS),
        test_examples=TEST_EXAMPLES,
        warnings=_warnings(encoder, rest * ENCODER_SHARE),
    )


def _warnings(encoder: Candidate, seconds: float) -> list[str]:
    """What to say beforehand of an encoder that will not learn enough in its seconds."""
    if encoder.tokens >= HELPS_TOKENS:
        return []
    factor = HELPS_TOKENS / encoder.tokens
    return [
        f"This machine trains the encoder on {encoder.tokens:,} tokens in {seconds:.0f} seconds, and below "
        f"{HELPS_TOKENS:,} training adds little to the counts that its embedding starts from; the models "
        f"that are kept start from these counts alone. About {factor:.1f} times the minutes are enough."
    ]


def _sized(
    tokens: Path, objective: Literal["masked", "causal"], seconds: float, precision: Precision, seed: int
) -> Candidate:
    """The largest model that sees enough tokens in `seconds`, with as many steps as fit.

    Its rates fall with the width as those of `plan` do: where it was measured, four times the width at the
    same rates cost 0.25 nats (docs/planner.md). Its embedding does not: a static start takes it from counts.
    """
    base = PretrainRecipe(
        tokens=tokens,
        model=ModelRecipe(family="headstart-encoder" if objective == "masked" else "headstart-decoder"),
        objective=OBJECTIVES[objective](),
        start="static",
        precision=precision,
        seed=seed,
        prompts=PROMPTS if objective == "causal" else [],
    )
    best = best_of(candidates(base, seconds))
    rates = rates_for_width(best.recipe.optimiser, best.recipe.model.width, TUNED_WIDTH)
    return replace(best, recipe=best.recipe.model_copy(update={"optimiser": rates}))


def _finetuning(encoder: PretrainRecipe, tasks: list[TaskData], seen: float) -> FinetuneRecipe:
    """How many examples each fine-tuning goes over, so that all of them together take their time.

    Every task is fine-tuned from every start (pre-trained, static, random weights, and the model that comes
    with headstart) for each number of labels and seed.
    With few labels a run sees `passes` examples, most of them many times; with more, `MORE_PASSES` as many.

    Args:
        seen: tokens that all cores together train on in that time.
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
    starts = sum(system in NETWORKS for system in known_systems())
    runs = starts * len(SEEDS)
    scoring = runs * len(MORE_PASSES) * wholes * TEST_EXAMPLES / FORWARD_IS_CHEAPER
    passes = (seen - scoring) / (FITS_A_POINT * runs * sum(MORE_PASSES) * lengths)
    passes = max(FEWEST_PASSES, min(MOST_PASSES, passes))
    return recipe.model_copy(
        update={
            "min_steps": round(passes / BATCH_EXAMPLES),
            "epochs": round(MORE_PASSES[2] * passes / LABELS[2], 2),
            "max_steps": round(MORE_PASSES[3] * passes / BATCH_EXAMPLES),
        }
    )
