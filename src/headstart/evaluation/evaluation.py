"""A model measured on whatever it can be measured on."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from headstart.errors import HeadstartError, nearest
from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.evaluation.likelihood_tasks import evaluate_choices, evaluate_last_words
from headstart.evaluation.perplexity import evaluate_text
from headstart.evaluation.prompt_evaluation import evaluate_prompted
from headstart.evaluation.report import Evaluation
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.data.lines import TOO_LONG
from headstart.tasks.data.rows import read_rows
from headstart.tasks.kinds.multiple_choice import MultipleChoice
from headstart.tasks.predictor import Predictor, task_of
from headstart.tasks.reload_check import check

What = Literal["labels", "text", "lambada", "choices", "harness"]
"""What a file holds: labelled examples, plain text, texts whose last word is asked, problems with choices,
or a task of lm-evaluation-harness (its name or YAML file)."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What can be chosen about an evaluation."""

    train: Path | None = None
    """Labelled data to fit the baselines to; None: the training part beside the data, if there is one."""
    beside: tuple[Path, ...] = ()
    """Other models of the same task; word vectors and ELMo, which learn from the same data."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column, such as `{"label": "stars"}`."""
    stride: int | None = None
    """Of the window over text, in tokens; None: half of the model's context."""
    shots: tuple[int, ...] = (0,)
    """Solved examples before each problem; of the harness' tasks 0 leaves their own number. Labelled data are
    prompted with each of several numbers."""
    normalise: str = "none"
    """How prompted labels and options are compared; see `prompting`."""
    examples: Path | None = None
    """Where those come from; None: other problems of the same file."""
    limit: int | None = None
    """So many examples from the beginning; None: all."""
    seed: int = 0


def evaluate(loaded: LoadedModel, on: str, settings: EvaluationSettings | None = None) -> Evaluation:
    """Measure a model on one file or folder.

    Args:
        on: a path, or what it holds and the path: `text:book.txt`, `lambada:dev.jsonl`, `choices:quiz.jsonl`,
            `labels:mails.csv`, `harness:arc_easy`. Without that a task model is measured on labels, a
            language model on choices where a row has some, on labels where shots are asked for or a folder is
            given, and on text otherwise. A language model answers labelled data by prompting.

    Raises:
        HeadstartError: the file is not there or not what it should be, or the model cannot do that.
    """
    settings = settings or EvaluationSettings()
    started = time.perf_counter()
    what, path = _what(loaded, on, settings)
    if len(settings.shots) > 1 and (what != "labels" or task_of(loaded)):
        raise HeadstartError(
            f"several numbers of shots are for prompting with labelled data, and {on} is not"
        )
    if settings.beside and (what != "labels" or task_of(loaded) is None):
        raise HeadstartError(
            f"--beside compares task models on labelled data, and {on} asks for something else; measure "
            f"{settings.beside[0]} by itself and compare the figures"
        )
    shots = settings.shots[0]
    if what == "labels" and task_of(loaded) is None:
        result = evaluate_prompted(
            loaded,
            path,
            settings.shots,
            train=settings.train or settings.examples,
            seed=settings.seed,
            normalise=settings.normalise,
            limit=settings.limit,
            columns=settings.columns,
        )
    elif what == "labels":
        predictor = Predictor.of(loaded)
        difference = None if loaded.folder is None else check(loaded.folder, predictor)
        train, beside, limit = settings.train, settings.beside, settings.limit
        result = evaluate_labels(predictor, path, train, beside, limit, columns=settings.columns)
        if difference is not None:
            result.notes.append("the model gives the outputs of its fine-tuning (check.safetensors)")
    elif what == "text":
        result = evaluate_text(loaded, path, settings.stride, settings.limit)
    elif what == "harness":
        from headstart.evaluation.harness import evaluate_harness  # an extra

        result = evaluate_harness(loaded, str(path), shots or None, settings.limit)
    else:
        task = evaluate_choices if what == "choices" else evaluate_last_words
        result = task(loaded, path, shots, settings.examples, settings.seed, settings.limit)
    result.seconds = round(time.perf_counter() - started, 3)
    return result


def _what(loaded: LoadedModel, on: str, settings: EvaluationSettings) -> tuple[What, Path]:
    known: tuple[What, ...] = get_args(What)
    name, _, rest = on.partition(":")
    for what in known:
        if name == what and rest:
            return what, Path(rest)
    path = Path(on)
    if rest and not path.exists():
        raise HeadstartError(f"there is no file {on}, and {name!r} is no kind of data{nearest(name, known)}")
    if task_of(loaded) or path.is_dir():
        return "labels", path
    _, row = next(read_rows(path), (0, {}))
    if row is not TOO_LONG and MultipleChoice().columns(row, {}, asked=False) is not None:
        return "choices", path
    return ("labels" if settings.shots != (0,) else "text"), path
