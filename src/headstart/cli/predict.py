"""`headstart predict`: answers for a file of any size."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer

from headstart.cli.options import Replace


def predict(
    model: Annotated[Path, typer.Argument(help="A fine-tuned model or run folder.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="Text (an input a line), JSONL, CSV, TSV, Parquet or CoNLL; - reads standard input."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write JSON lines here; else to standard output.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="The column of the text or words.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="The column of another role, such as pair=text_b or question=q.",
        ),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    replace: Replace = False,
) -> None:
    """Predict labels, tags, numbers, answers or vectors: a JSON line for every input, in order."""
    from headstart.cli.opened_model import open_model
    from headstart.tasks.file_prediction import predict_file
    from headstart.tasks.predictor import Predictor
    from headstart.tasks.reload_check import check

    with written_to(out, [model, file], replace) as stream:
        loaded = open_model(model, precision)
        loaded.model.keep_rounded()
        predictor = Predictor.of(loaded)
        if loaded.folder is not None:
            check(loaded.folder, predictor)
        for answer in predict_file(predictor, file, text_column, roles(column)):
            stream.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))


def roles(given: list[str] | None) -> dict[str, str]:
    """What `--column ROLE=NAME` says."""
    from headstart.errors import HeadstartError

    found = {}
    for one in given or []:
        role, equals, name = one.partition("=")
        if not equals or not role or not name:
            raise HeadstartError(f"--column {one} names no column; write it as ROLE=NAME, as in pair=text_b")
        found[role] = name
    return found


@contextmanager
def written_to(path: Path | None, inputs: list[Path], replace: bool) -> Iterator[BinaryIO]:
    """A file that appears when it is whole, or standard output."""
    from headstart.folder import atomic
    from headstart.output import output_file

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with (
        output_file(path, inputs=inputs, replace=replace) as place,
        atomic(place) as temporary,
        temporary.open("wb") as stream,
    ):
        yield stream
