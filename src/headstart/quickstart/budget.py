"""What of pre-training fits into the minutes given: sizes and steps, from the measured speed."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from headstart.objectives.recipe import OBJECTIVES
from headstart.recipe import Recipe
from headstart.scaling.local_machine import Candidate, best_of, candidates
from headstart.scaling.width_rule import TUNED_WIDTH, rates_for_width
from headstart.training.recipe import ModelRecipe, PretrainRecipe

Precision = Literal["float32", "bfloat16"]

# How the time left after the corpus is shared out.
ENCODER_SHARE, DECODER_SHARE, FINETUNE_SHARE = 0.42, 0.15, 0.43

HELPS_TOKENS = 1_000_000  # what an encoder has to see to add to its static start; docs/head-start.md
PROMPTS = ["The", "It was a", "In the beginning", "You can"]


class Plan(Recipe):
    """The resolved settings of pre-training; written once, obeyed by every restart."""

    encoder: PretrainRecipe
    decoder: PretrainRecipe
    warnings: list[str] = []
    """What will not pay on this machine, and what is done instead."""

    @property
    def keeps_static(self) -> bool:
        """Whether the models that are kept start from counts, since training adds nothing in the time."""
        return bool(self.warnings)


def make_plan(tokens: Path, finetunes: bool, seconds: float, precision: Precision, seed: int) -> Plan:
    """Share `seconds` out between the encoder, the decoder and fine-tuning, which gets what is left.

    Args:
        tokens: the tokens folder.
        finetunes: whether there is labelled data; without any, pre-training gets all the time.
        precision: "float32" or "bfloat16", of the machine's faster sort.
    """
    finetune_share = FINETUNE_SHARE if finetunes else 0.0
    rest = seconds * (1 - finetune_share) / (ENCODER_SHARE + DECODER_SHARE)
    encoder = _sized(tokens, "masked", rest * ENCODER_SHARE, precision, seed)
    decoder = _sized(tokens, "causal", rest * DECODER_SHARE, precision, seed)
    return Plan(
        encoder=encoder.recipe, decoder=decoder.recipe, warnings=_warnings(encoder, rest * ENCODER_SHARE)
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
    same rates cost 0.25 nats (docs/planner-measured.md). Its embedding does not: a static start takes it from
    counts.
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
