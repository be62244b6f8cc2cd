"""What would be read of labelled data, before anything is trained: as what, how many, what is said of them,
and some examples as a model will see them."""

from collections import Counter
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.registry import family_named
from headstart.tasks.data.data_checks import faults, unlearnable
from headstart.tasks.data.dataset import Unlabelled, load_examples
from headstart.tasks.data.parts import described, find_parts, left_out
from headstart.tasks.examples import Choices, Conversation, Examples, WordSequence, flatten
from headstart.tasks.kinds.registry import kind_of

SHOWN, SHOWN_CHARACTERS = 3, 400


def preview_data(
    path: Path,
    task: str | None = None,
    loaded: LoadedModel | None = None,
    max_tokens: int = 256,
    **columns: Any,
) -> list[JSONObject]:
    """For each part of each task in a file or folder: its name and files, the kind of task, how many
    examples, the labels with their counts, what was said while it was read, and its first examples.

    Args:
        loaded: show the tokens that this model reads, and those that it learns to write.
        max_tokens: that it reads at once.
        columns: see `load_examples`.

    Raises:
        HeadstartError: what a fine-tuning would refuse.
    """
    found = []
    tasks = find_parts(path)
    for name, parts in sorted(tasks.items()):
        learned: Examples | None = None
        for part in sorted(parts, key=lambda one: one not in ("", "train")):
            its = {"task": name, "part": part or "all", "files": described(parts[part])}
            try:
                examples = load_examples(
                    parts[part],
                    learned.task if learned else task,
                    like=learned.reading if learned else None,
                    **columns,
                )
            except Unlabelled as error:
                found.append(its | {"examples": 0, "notes": [str(error)], "shown": []})
                continue
            own = faults(learned or examples, (learned or examples).subset([]))  # of the training data alone
            notes = list(examples.notes)
            if learned is not None:
                notes += [note for note in faults(learned, examples, part) if note not in own]
            else:
                reason = unlearnable(examples)
                notes += [f"nothing can be learned from it: {reason}"] if reason else []
                notes += own + left_out(path, tasks)
            learned = learned or examples
            counts = Counter(flatten(examples.targets)) if examples.labels else {}
            found.append(
                its
                | {"kind": examples.task, "examples": len(examples), "notes": notes}
                | {"labels": {label: counts[label] for label in examples.labels}}
                | {
                    "shown": [
                        _shown(examples, place, loaded, max_tokens)
                        for place in range(min(SHOWN, len(examples)))
                    ]
                }
            )
    return found


def _shown(examples: Examples, place: int, loaded: LoadedModel | None, max_tokens: int) -> dict[str, str]:
    """An example in words, and as tokens."""
    given, target = examples.inputs[place], examples.targets[place]
    shown = {"input": _input_in_words(given, target), "right": _target_in_words(given, target)}
    if loaded is not None:
        shown |= _as_tokens(examples.subset([place]), loaded, max_tokens)
    return {
        key: text[:SHOWN_CHARACTERS] + ("…" if len(text) > SHOWN_CHARACTERS else "")
        for key, text in shown.items()
    }


def _input_in_words(given: Any, target: Any) -> str:
    if isinstance(given, WordSequence):
        return " ".join(
            f"{word}/{tag}" if tag != "O" else word for word, tag in zip(given, target, strict=True)
        )
    if isinstance(given, Choices):
        return " | ".join([given.text, *given.options])
    if isinstance(given, Conversation):
        return given.text
    return " | ".join(given) if isinstance(given, tuple) else str(given)


def _target_in_words(given: Any, target: Any) -> str:
    if isinstance(given, WordSequence):
        return ""
    if isinstance(given, Choices):
        return f"{target}: {given.options[target]}"
    if isinstance(target, tuple):
        return " | ".join(getattr(one, "text", str(one)) for one in target) or "none"
    return "" if target is None else str(target)


def _as_tokens(example: Examples, loaded: LoadedModel, max_tokens: int) -> dict[str, str]:
    """The tokens that a model reads in the first window, and those that it learns to write."""
    kind = kind_of(example.task, example.in_words)
    kind.head_of(loaded.model.config.architecture)
    loaded = kind.prepared(loaded)
    begins = None
    if loaded.model.config.architecture == "encoder-decoder":
        begins = decoder_start(family_named(loaded.model.config.family), loaded.tokenizer)
    try:
        pieces = kind.encode_examples(loaded.tokenizer, example, example.labels, max_tokens, begins)
    except HeadstartError as error:
        return {"tokens": str(error)}
    names = loaded.tokenizer.tokens
    windows = f" (the first of {len(pieces)} pieces)" if len(pieces) > 1 else ""
    found = {"tokens": " ".join(names[i] for i in pieces[0].ids) + windows}
    if not hasattr(kind, "encode"):
        learned = kind.targets(example, pieces, example.labels)[0].tolist()
        found["learned"] = " ".join(names[i] for i in learned)
    return found
