"""Fine-tuned runs: a model of the laboratory fitted to labelled examples, and what it answers.

The counts beside a network that fine-tuning has by itself are switched off: they would answer for a model
that learned nothing. They are a system of their own here, `counted words`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.tasks.examples import Examples

Start = Literal["pre-trained", "static", "random"]
TASKS = {"pos": "pos", "section": "section", "spam": "spam", "subjects": "spam"}
"""Task -> the labelled files that it is made of."""
ANSWERS = "answers.json"
BETWEEN = "\n\n"
"""What stands between subject and body of a mail."""


class Answers(TypedDict):
    """What a fitted system came to, on the test part."""

    right: list[float]
    """Of each example: 100 where it is right, of a tagged sentence the percentage of right words."""
    majority: list[float]
    """The same of the commonest answer, of a word its commonest tag."""
    readable: float
    """Percentage of answers that are labels at all, of a model that writes them."""
    added: float
    """Weights of the head, as a percentage of those of the body."""
    mix: list[float]
    """How a mix weighs the layers, from the embeddings up; empty: there is none."""


def read_answers(run: Path) -> Answers:
    """What a fitted run answered."""
    return read_json(run / ANSWERS, Answers)


def fit_and_score(settings: Mapping[str, Any], base: Path | None, files: Sequence[Path], out: Path) -> None:
    """Fit a system and write what it answers into the folder `out`.

    Args:
        settings: those of `house.finetune_of`.
        base: the folder of the pre-training run.
        files: training and test rows.
    """
    from headstart.interchange.model_folder import load_model
    from headstart.tasks.baselines.word_counts import Majority, strongest_baseline
    from headstart.tasks.data.splitting import sample_labels
    from headstart.tasks.finetuning.finetune import finetune
    from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
    from headstart.training.run_folder import static_start

    train, test = (task_examples(settings["task"], file, settings.get("in words", False)) for file in files)
    train = sample_labels(train, settings["labels"], settings["seed"])
    added, mix = 0.0, []
    if base is None:
        answers = strongest_baseline(train).predict(test.inputs)
    else:
        start = settings["start"]
        loaded = load_model(static_start(base) if start == "static" else base / "model")
        recipe = FinetuneRecipe.checked({"adapt": settings["adapt"], "counted_words": "none"})
        fitted = finetune(loaded, train, recipe, settings["seed"], scratch=start == "random")
        answers = fitted.predict(test.inputs)
        if fitted.model.head is not None:
            head, body = (
                sum(one.numel() for one in part.parameters()) for part in (fitted.model.head, loaded.model)
            )
            added = 100 * head / body
        mix = [] if fitted.facts.mix is None else fitted.facts.mix.weights
    out.mkdir(parents=True, exist_ok=True)
    majority = Majority(replace(train, in_words=False)).predict(test.inputs)
    found: Answers = {
        "right": right_answers(test.targets, answers),
        "majority": right_answers(test.targets, majority),
        "readable": readable_share(train, answers),
        "added": added,
        "mix": list(mix),
    }
    write_json(out / ANSWERS, found)


def task_examples(task: str, file: Path, in_words: bool) -> Examples:
    """The examples of a task of the laboratory, out of a file of labelled rows."""
    from headstart.tasks.data.dataset import load_examples

    read = load_examples(file)
    if task == "subjects":
        read = subjects(read)
    return replace(read, in_words=in_words)


def subjects(mails: Examples) -> Examples:
    """Pairs of subject and body: does the subject belong to the body? Half have the next mail's subject, of a
    mail of the same class, so that the class does not tell.

    Raises:
        HeadstartError: fewer than two mails of a class have both.
    """
    parts = [
        (*text.partition(BETWEEN), label) for text, label in zip(mails.inputs, mails.targets, strict=True)
    ]
    whole = [(subject.strip(), body, label) for subject, _, body, label in parts if subject.strip() and body]
    inputs, targets = [], []
    for label in mails.labels:
        of_class = [(subject, body) for subject, body, its in whole if its == label]
        if len(of_class) < 2:
            raise HeadstartError(f"fewer than two texts labelled {label!r} have a subject and a body")
        for place, (subject, body) in enumerate(of_class):
            other = of_class[(place + 1) % len(of_class)][0]
            own = place % 2 == 0 or other == subject
            inputs.append((subject if own else other, body))
            targets.append("own" if own else "other")
    return Examples("classification", inputs, targets)


def right_answers(truth: Sequence[Any], answers: Sequence[Any]) -> list[float]:
    """Percent right of every example: of a tagged sentence the share of its words."""
    found = []
    for wanted, given in zip(truth, answers, strict=True):
        if isinstance(wanted, list):
            found.append(100 * sum(t == g for t, g in zip(wanted, given, strict=True)) / len(wanted))
        else:
            found.append(100.0 * (wanted == given))
    return found


def readable_share(train: Examples, answers: Sequence[Any]) -> float:
    """Percentage of answers that are labels of the task."""
    known = set(train.labels)
    shown = [tag for one in answers for tag in (one if isinstance(one, list) else [one])]
    return 100 * sum(one in known for one in shown) / len(shown)
