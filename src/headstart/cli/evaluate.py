"""`headstart evaluate`: measure any model on labelled data, own text, or tasks by likelihood."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import Replace, data_path
from headstart.errors import HeadstartError


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="A model folder, run folder, or checkpoint (RUN/checkpoints/step-N).")
    ],
    on: Annotated[
        list[str],
        typer.Option(
            "--on",
            "--tasks",
            "--data",
            help="A file, or a folder with a test part; may be repeated. Its kind is inferred, or written "
            "before it: labels:mails.csv, text:book.txt, lambada:dev.jsonl, choices:quiz.jsonl, "
            "harness:arc_easy; also hf://datasets/org/name, or .../name@revision/file.",
        ),
    ],
    train: Annotated[
        Path | None,
        typer.Option("--train", parser=data_path, help="Labelled data from which the baselines learn."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--beside",
            help="Another model of the task, or a run of word2vec, GloVe or ELMo, to compare with.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="The column of the text or words.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="The column of the label or tags.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="The column of another role, such as pair=text_b or question=q.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride", min=1, help="Step of the text window, in tokens; by default half of the context."
        ),
    ] = None,
    shots: Annotated[
        list[int] | None,
        typer.Option(
            "--shots",
            "--num_fewshot",
            min=0,
            help="Solved examples before each problem; several numbers for a language model that is prompted "
            "with labelled data.",
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="Normalisation of prompted labels and options: none, length or unconditional.",
        ),
    ] = "none",
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            parser=data_path,
            help="The file of these examples; else other problems of the file.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Number of examples from the beginning of each file.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed that chooses solved examples.")] = 0,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda for a GPU.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for evaluation.json and evaluation.md.")
    ] = None,
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a model. Every figure has its n, a 95 % bootstrap interval and a baseline.

    A task model is measured on labelled data: scores, slices, confusion matrix, most confident errors. A
    decoder is measured on your text (perplexity, bits per byte) and on tasks by likelihood.
    """
    import torch

    from headstart.cli.opened_model import open_model
    from headstart.cli.predict import roles
    from headstart.evaluation.evaluation import EvaluationSettings
    from headstart.evaluation.evaluation import evaluate as evaluate_on
    from headstart.evaluation.report import as_json as everything
    from headstart.evaluation.report import write_report
    from headstart.output import output

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise HeadstartError(f"there is no device {device!r} here; leave --device out")
    on = [_on_this_machine(one) for one in on]
    columns = roles(column) | {
        role: name for role, name in (("text", text_column), ("label", label_column)) if name
    }
    settings = EvaluationSettings(
        train, tuple(beside or ()), columns, stride, tuple(shots or (0,)), normalise, examples, limit, seed
    )
    asked = {"model": str(model), "on": on, "settings": asdict(settings), "precision": precision}
    sources = [Path(one.partition(":")[2] if not Path(one).exists() else one) for one in on]
    read = [path for path in (model, *sources, train, *(beside or ()), examples) if path is not None]
    claimed = (
        output(out, "evaluation", settings=asked, inputs=read, replace=replace) if out else nullcontext()
    )
    with claimed:
        loaded = open_model(model, precision)
        loaded.model.to(device)
        found = [evaluate_on(loaded, one, settings) for one in on]
        if out is not None:
            write_report(out, str(model), found)
    if as_json:
        typer.echo(orjson.dumps(everything(str(model), found), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n\n".join(one.text() for one in found))
        if out is not None:
            typer.echo(f"\nSlices, confusion and errors: {out / 'evaluation.md'}")


def _on_this_machine(on: str) -> str:
    """`labels:hf://datasets/...` as `labels:` and the path to which the data are fetched."""
    kind, scheme, rest = on.partition("hf://")
    return f"{kind}{data_path(scheme + rest)}" if scheme else on
