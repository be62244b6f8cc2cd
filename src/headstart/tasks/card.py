"""The model card of a task model."""

from collections.abc import Sequence
from pathlib import Path

from headstart.folder import atomic
from headstart.tasks.metrics import Score
from headstart.tasks.predictor import Predictor

PREPARATION = {
    "classification": "A text, or a pair of texts, stands between the tokenizer's special tokens.",
    "multi-label": "As for one label; a label is given where its sigmoid is 0.5 or more.",
    "regression": "A text, or a pair of texts, stands between the tokenizer's special tokens.",
    "tagging": (
        "Words are encoded as their text (lists of words joined with one space each); a word's tag is read "
        "at the token that holds its first character."
    ),
    "question-answering": (
        "Question and context are a pair; the answer is the span whose first and last token score highest "
        "together, if that is more than the first token of all scores for both."
    ),
    "multiple-choice": "Text and option are a pair; the option with the highest score is the answer.",
    "embedding": (
        "The vector of a text is the mean of its tokens' states (of a decoder the last one's), divided by "
        "its length."
    ),
}
ADAPTATIONS = {
    "full": "All weights learned.",
    "top": "The highest layers and the head learned; the others are those of the pre-trained model.",
    "lora": "The head and low-rank changes of the matrices learned (LoRA); the changes are added to them.",
    "frozen": "The head alone learned; the rest are the pre-trained model's weights.",
    "mix": "The head learned, on a weighted mean of all layers of the pre-trained model.",
}
WRITTEN = {
    "text-to-text": "It reads a text and writes its answer; a decoder reads a line break between the two.",
    "chat": "Conversations are written by the chat template in tokenizer_config.json.",
}
IN_WORDS = (
    "Inputs and answers are put into words by the templates of headstart's text-to-text; what is written is "
    "read back as an answer of the task."
)
WINDOWS = (
    "What is over {context} tokens is read in windows that overlap by a quarter: labels, numbers and vectors "
    "are the mean over the windows, words and answers are read where they have most context."
)


def task_card(predictor: Predictor) -> str:
    """What it answers, how it was made, how its input is prepared. Markdown."""
    facts = predictor.facts
    shown = ", ".join(f"`{label}`" for label in predictor.labels[:30])
    if len(predictor.labels) > 30:
        shown += f" and {len(predictor.labels) - 30} more"
    named = f": {shown}" if predictor.task in ("classification", "multi-label", "tagging") else ""
    lines = [f"# {predictor.task.capitalize()}{named}", ""]
    if (made := facts.training) is not None:
        start = "random weights" if made.from_scratch else "pre-trained weights"
        lines.append(
            f"Trained with headstart from {start} on {made.examples:,} examples, "
            f"{made.steps:,} steps, seed {made.seed}."
        )
        lines.append(ADAPTATIONS[made.adapt.split("-")[0]])
    if facts.mix is not None:
        weights = ", ".join(f"{weight:.3f}" for weight in facts.mix.weights)
        lines.append(
            f"Weights of the layers, from the embeddings up: {weights}; gamma {facts.mix.gamma:.3f}. "
            "transformers has no such mix, and cannot load this folder; headstart does."
        )
    elif predictor.model.head_kind == "mean-classification":
        lines.append(
            "A text's scores are read from the mean of its tokens' states. transformers has no such head for "
            "this family, and cannot load this folder; headstart does, and pooling=family makes one for both."
        )
    lines += predictor.notes
    if predictor.model.writes:
        lines += ["", WRITTEN.get(predictor.task, IN_WORDS)]
    else:
        lines += ["", PREPARATION[predictor.task], WINDOWS.format(context=predictor.max_tokens)]
    return "\n".join(lines)


def add_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Say in the card of a model folder what the model reached."""
    lines = [
        f"On the test data: {each.metric} {each.value:.3f}, 95 % bootstrap interval "
        f"{each.low:.3f} to {each.high:.3f} (n = {each.n:,})."
        for each in scores
    ]
    card = (folder / "README.md").read_text(encoding="utf-8")
    if lines[0] in card:  # of a run that was stopped and goes on
        return
    with atomic(folder / "README.md") as temporary:
        temporary.write_text("\n".join([card, *lines, ""]), encoding="utf-8")
