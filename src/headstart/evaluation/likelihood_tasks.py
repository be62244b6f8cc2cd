"""Tasks for a language model as it is, without training: what it finds likeliest is its answer.

Two formats, in JSONL or any other format of rows. LAMBADA (Paperno et al. 2016): a `text` whose last word is
to be foreseen. Choices: a prompt, a list of choices and which one is right. A few solved examples may stand
before each, as in Brown et al. 2020.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.evaluation.likelihood import Likelihood, asked_for, likelihoods
from headstart.evaluation.report import Evaluation, by_length, excerpt, slices
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.data.columns import typical_row
from headstart.tasks.data.lines import TOO_LONG
from headstart.tasks.data.rows import TableRow, read_rows
from headstart.tasks.kinds.kind import Unusable
from headstart.tasks.kinds.multiple_choice import MultipleChoice
from headstart.tasks.metrics.bootstrap import Measurement, mean
from headstart.tasks.metrics.labels import calibration_error
from headstart.tasks.metrics.language import perplexity

CHUNK = 64  # tasks whose tokens are held at once
SEPARATOR = "\n\n"
"""Between solved examples."""
MOST_ERRORS = 20


@dataclass(frozen=True)
class Problem:
    """A prompt, what may follow it, and which of that is right."""

    prompt: str
    choices: tuple[str, ...]
    right: int
    other: TableRow
    """The remaining columns."""

    @property
    def solved(self) -> str:
        return self.prompt + self.choices[self.right]


def evaluate_last_words(
    loaded: LoadedModel,
    path: Path,
    shots: int = 0,
    examples: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Evaluation:
    """LAMBADA: how often the last word of each text is what the model would write, and its perplexity.

    Args:
        shots: how many whole texts stand before each.
        examples: where those come from; None: other rows of `path`.
        seed: chooses them.
        limit: so many texts from the beginning; None: all.
    """
    problems = [_last_word(where, row) for where, row in _rows(path)]
    pool = problems if examples is None else [_last_word(where, row) for where, row in _rows(examples)]
    problems = problems[:limit]
    prefixes = _prefixes(problems, pool, shots, seed, own=examples is None)
    found, cut = _likelihoods(loaded, [(p + one.prompt, one.choices[0]) for p, one in
                                       zip(prefixes, problems, strict=True)])  # fmt: skip
    right = mean("accuracy", [likelihood.greedy for likelihood in found])
    result = Evaluation(
        path.name,
        "last words",
        f"The last word of a text is right where each of its tokens is the likeliest; {_shots(shots)}.",
        notes=_cut(cut, len(found)),
    )
    result.add(
        "model", [right, perplexity([-one.logprob for one in found], np.ones(len(found)), "word perplexity")]
    )
    guess = mean("accuracy", [_share(problem) for problem in problems])
    result.add("random word of the text", [guess])
    result.against("random word of the text", right, guess)
    columns = _columns(problems)
    columns["length"] = by_length([len(problem.prompt.split()) for problem in problems], "words")
    columns["word in the text"] = ["yes" if _share(problem) else "no" for problem in problems]
    result.tables["slices"] = slices(right, columns)
    worst = sorted(range(len(found)), key=lambda place: found[place].logprob)[:MOST_ERRORS]
    result.tables["least likely words"] = [
        {
            "word": problems[place].choices[0].strip(),
            "probability": math.exp(found[place].logprob),
            "text": "… " + problems[place].prompt[-100:].replace("\n", " "),
        }
        for place in worst
    ]
    return result


def evaluate_choices(
    loaded: LoadedModel,
    path: Path,
    shots: int = 0,
    examples: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Evaluation:
    """How often the right choice is the likeliest behind its prompt, as it is and for each of its bytes.

    Args: as in `evaluate_last_words`.
    """
    problems, notes = _problems(path)
    pool = problems if examples is None else _problems(examples)[0]
    if examples is not None:
        known = {one.solved for one in pool}
        same = sum(one.solved in known for one in problems)
        notes += [f"{same:,} problems also occur among the solved examples"] if same else []
    problems = problems[:limit]
    prefixes = _prefixes(problems, pool, shots, seed, own=examples is None)
    texts = [(prefix + one.prompt, choice) for prefix, one in zip(prefixes, problems, strict=True)
             for choice in one.choices]  # fmt: skip
    found, cut = _likelihoods(loaded, texts)
    ends = np.cumsum([len(problem.choices) for problem in problems])
    logprobs = np.split(np.array([likelihood.logprob for likelihood in found]), ends[:-1])
    sizes = [np.array([len(choice.strip().encode()) for choice in one.choices]) for one in problems]
    picked = [int(its.argmax()) for its in logprobs]
    chances = [_softmax(its) for its in logprobs]
    right = _accuracy(problems, picked, "accuracy")
    for_bytes = [int((its / size).argmax()) for its, size in zip(logprobs, sizes, strict=True)]
    confidence = np.array([its.max() for its in chances])
    correct = np.array([pick == one.right for pick, one in zip(picked, problems, strict=True)])
    result = Evaluation(
        path.name,
        "choices",
        "A choice is picked by the log-probability of its tokens behind the prompt (accuracy), or by that "
        f"divided by its bytes (accuracy per byte); {_shots(shots)}.",
        notes=notes + _cut(cut, len(found)),
    )
    result.add("model", [right, _accuracy(problems, for_bytes, "accuracy per byte"),
                         calibration_error(confidence, correct)])  # fmt: skip
    result.add_plain(
        "chance", "accuracy", float(np.mean([1 / len(one.choices) for one in problems])), len(problems)
    )
    commonest = Counter(one.right for one in problems).most_common(1)[0][0]
    longest = [int(size.argmax()) for size in sizes]
    for name, its in (("commonest place", [commonest] * len(problems)), ("longest choice", longest)):
        other = _accuracy(problems, its, "accuracy")
        result.add(name, [other])
        result.against(name, right, other)
    columns = _columns(problems)
    columns["right place"] = [one.right for one in problems]
    columns["length"] = by_length([len(one.prompt.split()) for one in problems], "words")
    result.tables["slices"] = slices(right, columns)
    wrong = sorted(np.flatnonzero(~correct).tolist(), key=lambda place: -confidence[place])[:MOST_ERRORS]
    result.tables["most confident errors"] = [
        {
            "prompt": excerpt(problems[place].prompt),
            "right": excerpt(problems[place].choices[problems[place].right]),
            "picked": excerpt(problems[place].choices[picked[place]]),
            "probability": float(confidence[place]),
        }
        for place in wrong
    ]
    return result


def _rows(path: Path) -> list[tuple[str, TableRow]]:
    """Rows with what an error names them by."""
    rows = [(f"{path} line {line}", row) for line, row in read_rows(path) if row is not TOO_LONG]
    if not rows:
        raise HeadstartError(f"{path} is empty; it should hold a task a line")
    return rows


def _last_word(where: str, row: TableRow) -> Problem:
    text = row.get("text")
    if not isinstance(text, str):
        raise HeadstartError(f"{where} has no 'text' whose last word could be foreseen")
    prompt, _, word = text.rstrip().rpartition(" ")
    if not prompt.strip():
        raise HeadstartError(f"{where} has one word alone; its last word needs some before it")
    return Problem(prompt, (f" {word}",), 0, {name: row[name] for name in row if name != "text"})


def _problems(path: Path) -> tuple[list[Problem], list[str]]:
    """The problems of a file, read as those of multiple choice are, and what there is to say of their
    answers."""
    rows = _rows(path)
    kind = MultipleChoice()
    notes: list[str] = []
    columns = kind.columns(typical_row([row for _, row in rows]), {}, asked=True)
    if columns is None:
        found = ", ".join(map(repr, list(rows[0][1])[:12]))
        raise HeadstartError(f"{rows[0][0]}: a task has 'prompt', 'choices' and 'answer'; found {found}")
    for where, row in rows:
        lacking = [column for column in columns.values() if column not in row]
        if lacking:
            raise HeadstartError(
                f"{where} has no {lacking[0]!r}; a task has 'prompt', 'choices' and 'answer'"
            )
    kind.settle(rows, columns, None, notes)
    problems = []
    for where, row in rows:
        try:
            given = kind.read_input(where, row, columns)
            right = kind.read_target(where, row, columns, given, Counter())
        except Unusable as reason:
            raise HeadstartError(f"{where}: {reason}") from None
        read = kind.columns_read(row, columns)
        apart = "" if given.text[-1].isspace() else " "
        choices = tuple(one if one[0].isspace() else f"{apart}{one}" for one in given.options)
        problems.append(
            Problem(given.text, choices, right, {name: row[name] for name in row if name not in read})
        )
    return problems, notes


def _prefixes(
    problems: Sequence[Problem], pool: Sequence[Problem], shots: int, seed: int, own: bool
) -> list[str]:
    """What stands before each prompt: `shots` solved examples, never the problem itself."""
    if not shots:
        return [""] * len(problems)
    if len(pool) < shots + own:
        raise HeadstartError(
            f"{shots} solved examples need {shots + own} to choose from, and there are {len(pool)}; give a "
            "file with more, or fewer shots"
        )
    random = np.random.Generator(np.random.Philox(key=seed))
    prefixes = []
    for place in range(len(problems)):
        drawn = random.permutation(len(pool))[: shots + own].tolist()
        chosen = [index for index in drawn if not own or index != place][:shots]
        prefixes.append("".join(pool[index].solved + SEPARATOR for index in chosen))
    return prefixes


def _likelihoods(loaded: LoadedModel, texts: Sequence[tuple[str, str]]) -> tuple[list[Likelihood], int]:
    """Of each text behind its context; and how many of them the model could not see whole."""
    found: list[Likelihood] = []
    cut = 0
    room = loaded.model.config.context + 1
    for first in range(0, len(texts), CHUNK):
        asked = [asked_for(loaded, context, target) for context, target in texts[first : first + CHUNK]]
        cut += sum(len(one.context) + len(one.target) > room for one in asked)
        found += likelihoods(loaded, asked)
    return found, cut


def _share(problem: Problem) -> float:
    """Of the words before the last one, those that are the last one."""
    words = [word.strip(".,;:!?\"'()`").lower() for word in problem.prompt.split()]
    return words.count(problem.choices[0].strip().strip(".,;:!?\"'()`").lower()) / len(words)


def _accuracy(problems: Sequence[Problem], picked: Sequence[int], name: str) -> Measurement:
    return mean(name, [pick == one.right for pick, one in zip(picked, problems, strict=True)])


def _columns(problems: Sequence[Problem]) -> dict[str, Sequence[Any]]:
    return {name: [one.other.get(name) for one in problems] for name in problems[0].other}


def _softmax(logprobs: np.ndarray) -> np.ndarray:
    shares = np.exp(logprobs - logprobs.max())
    return shares / shares.sum()


def _shots(shots: int) -> str:
    return f"{shots} solved example{'s' if shots > 1 else ''} before each" if shots else "no solved examples"


def _cut(cut: int, of: int) -> list[str]:
    return (
        [f"{cut:,} of {of:,} texts were longer than the model reads and lost their beginning"] if cut else []
    )
