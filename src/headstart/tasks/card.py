"""The model card of a task model."""

from collections.abc import Sequence

from headstart.tasks.metrics import Score
from headstart.tasks.predictor import Predictor

PREPARATION = {
    "classification": (
        "A text becomes `<s> tokens </s>`, cut to its first {context} tokens; the tokens' mean is classified."
    ),
    "tagging": (
        "Words are joined with one space each and encoded as that text; a word's tag is read at its "
        "first token, to which the space before it belongs. Lists of words over {context} tokens are "
        "continued in a further row."
    ),
}


def task_card(predictor: Predictor, scores: Sequence[Score]) -> str:
    """What it answers, how it was made, what it reached, how its input is prepared. Markdown."""
    facts = predictor.facts
    shown = ", ".join(f"`{label}`" for label in predictor.labels[:30])
    if len(predictor.labels) > 30:
        shown += f" and {len(predictor.labels) - 30} more"
    lines = [f"# {predictor.task.capitalize()}: {shown}", ""]
    if "examples" in facts:
        start = "random weights" if facts["from_scratch"] else "pre-trained weights"
        lines.append(
            f"Trained with headstart from {start} on {facts['examples']:,} examples, "
            f"{facts['steps']:,} steps, seed {facts['seed']}."
        )
    lines += predictor.notes
    for each in scores:
        lines.append(
            f"\nOn the test data: {each.metric} {each.value:.3f}, 95 % bootstrap interval "
            f"{each.low:.3f} to {each.high:.3f} (n = {each.n:,})."
        )
    lines += ["", PREPARATION[predictor.task].format(context=predictor.model.body.config.context)]
    return "\n".join(lines)
