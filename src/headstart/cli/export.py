"""`headstart export`: write a model for use elsewhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import AsJSON, Replace


class Format(StrEnum):
    """What is written."""

    hf = "hf"
    gguf = "gguf"
    onnx = "onnx"


class Numbers(StrEnum):
    """What the weights are kept in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"
    q8_0 = "q8_0"
    int8 = "int8"


def export(
    model: Annotated[Path, typer.Argument(help="A run or model folder.")],
    out: Annotated[Path, typer.Option("--out", help="The folder (hf, onnx) or file (gguf) to write.")],
    form: Annotated[
        Format, typer.Option("--format", help="A Hugging Face folder, a GGUF file, or ONNX.")
    ] = Format.hf,
    numbers: Annotated[
        Numbers,
        typer.Option("--dtype", help="The dtype of the weights; q8_0 only in GGUF, int8 only in ONNX."),
    ] = Numbers.float32,
    shard_size: Annotated[
        float,
        typer.Option(min=0.001, help="Largest weight file in gigabytes; a larger model has several files."),
    ] = 5.0,
    replace: Replace = False,
    to_hub: Annotated[
        str | None, typer.Option("--push", help="Also upload the folder to the hub, as org/name.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Write a model for other tools, then read it again and compare its outputs."""
    from headstart.errors import HeadstartError
    from headstart.interchange.hub import push
    from headstart.interchange.transfer import export_model

    if to_hub is not None and form is Format.gguf:
        raise HeadstartError("--push hands a folder in, and a GGUF file is none; export as hf or onnx")
    facts = export_model(model, out, form.value, numbers.value, int(shard_size * 1e9), replace)
    pushed = None if to_hub is None else push(out, to_hub, f"headstart export of {model.name}")
    if as_json:
        where = {} if pushed is None else {"pushed": pushed}
        typer.echo(orjson.dumps({**facts, **where}, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(
        f"{out}: {facts['bytes']:,} bytes; read again, its outputs differ by {facts['difference']:.1e} of "
        f"the largest from what was meant to be written, and by {facts['rounding']:.1e} from the model "
        f"itself (n = {facts['probe_tokens']} tokens)"
    )
    if pushed is not None:
        typer.echo(f"handed in as {pushed}")
