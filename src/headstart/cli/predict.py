"""`headstart predict`: answers for a file of any size."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer


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
        str | None, typer.Option("--text-column", help="Where the text or words are.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
) -> None:
    """Predict labels or tags: a JSON line for every input, in order, with probabilities."""
    from headstart.interchange.model_folder import load_model
    from headstart.tasks.precision import dtype_named
    from headstart.tasks.predictor import Predictor
    from headstart.tasks.streaming import predict_file

    predictor = Predictor.of(load_model(model, dtype_named(precision)))
    with written_to(out) as stream:
        for answer in predict_file(predictor, file, text_column):
            stream.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def written_to(path: Path | None) -> Iterator[BinaryIO]:
    """A file that appears when it is whole, or standard output."""
    from headstart.folder import atomic

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic(path) as temporary, temporary.open("wb") as stream:
        yield stream
