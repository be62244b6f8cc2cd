"""Every labelled example in words: what a text-to-text model reads, what it writes, and that read back.

As in T5 (Raffel et al. 2020, section 2.4) the task stands before the text. The templates are fixed:

    classification   classify: TEXT   or  classify: first: TEXT second: TEXT    LABEL
    multi-label      label: TEXT                                                LABEL, LABEL   or  none
    regression       rate: TEXT                                                 3.50
    tagging          tag: WORD WORD WORD        (entities)   PER: WORD WORD; LOC: WORD   or  none
                                                (others)     TAG TAG TAG
    question-answering   answer: QUESTION context: CONTEXT                      ANSWER   or  no answer
    multiple-choice  choose: TEXT A: OPTION B: OPTION                           A
"""

import math
import string
from collections.abc import Sequence
from typing import Any

from headstart.errors import HeadstartError
from headstart.tasks.examples import TaskKind
from headstart.tasks.facts import TaskFacts
from headstart.tasks.metrics.entities import entities, marks_entities

NONE, NO_ANSWER = "none", "no answer"
VERBS = {
    "classification": "classify",
    "multi-label": "label",
    "regression": "rate",
    "tagging": "tag",
    "question-answering": "answer",
    "multiple-choice": "choose",
}


def question_in_words(task: TaskKind, given: Any) -> str:
    """What the model reads for an input."""
    if task not in VERBS:
        raise HeadstartError(f"{task} has no answer in words; fine-tune it without text-to-text")
    if task == "question-answering":
        text = f"{given[0]} context: {given[1]}"
    elif task == "multiple-choice":
        options = zip(string.ascii_uppercase, given.options, strict=False)
        text = " ".join([given.text, *(f"{letter}: {option}" for letter, option in options)])
    elif task == "tagging":
        text = " ".join(given)
    else:
        text = given if isinstance(given, str) else f"first: {given[0]} second: {given[1]}"
    return f"{VERBS[task]}: {text}"


def answer_in_words(task: TaskKind, target: Any, given: Any, labels: Sequence[str]) -> str:
    """What the model should write; `labels` are all tags of a tagger."""
    match task:
        case "multi-label":
            return ", ".join(target) or NONE
        case "regression":
            return f"{target:.2f}"
        case "tagging":
            if not marks_entities([["O", *labels]]):
                return " ".join(target)
            spans = (f"{kind}: {' '.join(given[first : last + 1])}" for kind, first, last in entities(target))
            return "; ".join(spans) or NONE
        case "question-answering":
            return target[0].text if target else NO_ANSWER
        case "multiple-choice":
            return string.ascii_uppercase[target]
    return str(target)


def read_back(task: TaskKind, text: str, given: Any, labels: Sequence[str], facts: TaskFacts) -> Any:
    """The answer that a written text stands for, as a task model would predict it.

    What is no answer is taken for the nearest thing to none: a label as it was written (which is wrong), no
    labels, the training data's mean, the tag of most words, the first option.
    """
    text = text.strip()
    match task:
        case "classification":
            return next((label for label in labels if label.casefold() == text.casefold()), text)
        case "multi-label":
            said = {part.strip().casefold() for part in text.split(",")}
            return tuple(label for label in labels if label.casefold() in said)
        case "regression":
            return _number(text, facts.mean)
        case "tagging":
            if marks_entities([["O", *labels]]):
                return _entity_tags(text, given)
            tags = [tag for tag in text.split() if tag in labels][: len(given)]
            return tags + [facts.commonest] * (len(given) - len(tags))
        case "question-answering":
            return "" if text.casefold() in ("", NO_ANSWER) else text
        case "multiple-choice":
            place = string.ascii_uppercase.find(text[:1].upper()) if text else -1
            return place if 0 <= place < len(given.options) else 0
    raise ValueError(task)


def _number(text: str, otherwise: float) -> float:
    try:
        number = float(text)
    except ValueError:
        return otherwise
    return number if math.isfinite(number) else otherwise


def _entity_tags(text: str, words: Sequence[str]) -> list[str]:
    """Tags of the entities named in `text`, each at the first place behind the one before it where its words
    stand, else at the first place of all; what does not occur is left out."""
    tags = ["O"] * len(words)
    behind = 0
    for part in text.split(";"):
        kind, colon, surface = part.strip().partition(":")
        wanted = surface.split()
        if not colon or not wanted or not kind:
            continue
        for start in [*range(behind, len(words)), *range(behind)]:
            end = start + len(wanted)
            if list(words[start:end]) == wanted and set(tags[start:end]) == {"O"}:
                tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (len(wanted) - 1)]
                behind = end
                break
    return tags
