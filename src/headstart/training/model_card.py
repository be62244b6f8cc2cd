"""The model card of a pre-trained model."""

from pathlib import Path

from headstart.models.transformer import Transformer
from headstart.training import control
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import rows_before


def model_card(recipe: PretrainRecipe, model: Transformer, run: Path, step: int | None = None) -> str:
    """The model card: what it is, what it was trained on, and what it reached at a step; None: at that of
    the lowest held-out loss."""
    events = read_metrics(run)
    evaluations = [event for event in events if event["kind"] == "evaluation"]
    last = evaluations[-1] if evaluations else None  # none: the file of events was damaged
    if step is None:
        finite = [event for event in evaluations if event["loss"] is not None]  # no number is null
        last = min(finite, key=lambda event: event["loss"], default=last)
    changed = any(event["kind"] == "control" and event["action"] in control.NUMBERS for event in events)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    begun = f"the weights of `{recipe.start.name}`" if isinstance(recipe.start, Path) else "random weights"
    if step is None:
        step = recipe.steps if last is None else last["step"]
    when = "" if last is None or last["step"] == step else f"at step {last['step']:,}: "
    if last is None:
        reached = "Held-out loss not known: `metrics.jsonl` has lost its evaluations.\n\n"
    elif last["loss"] is None:  # a loss that is no number
        reached = f"Held-out loss {when}no number: the run diverged.\n\n"
    else:
        reached = (
            f"Held-out loss {when}{last['loss']:.4f} nats a target token, {last['bits_per_byte']:.4f} bits a "
            f"byte (n = {last['targets']:,} targets).\n\n"
        )
    return (
        f"# {model.config.family}, {parameters:,} parameters\n\n"
        f"Pre-trained from {begun} with headstart, {recipe.objective.kind} objective, "
        f"{rows_before(step, recipe) * recipe.context:,} tokens in {step:,} steps of {recipe.rows} rows "
        f"of {recipe.context} tokens.\n\n"
        + reached
        + (
            "The learning rate was changed by hand while it ran; `metrics.jsonl` says when.\n\n"
            if changed
            else ""
        )
        + "The full recipe is in `recipe.yaml` of the run."
    )
