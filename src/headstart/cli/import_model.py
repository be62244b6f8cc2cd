"""`headstart import`: take a model from elsewhere."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import AsJSON, Replace


def import_model(
    source: Annotated[
        str,
        typer.Argument(help="A Hugging Face folder (safetensors), a GGUF file, or hf://org/name[@revision]."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The model folder to write.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Say what of it is understood, ignored and unsupported; write nothing."),
    ] = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Read a Hugging Face folder or a GGUF file, check it, and write a model folder."""
    from headstart.errors import HeadstartError
    from headstart.interchange.hub import SCHEME, fetch_model
    from headstart.interchange.transfer import import_model as transfer

    if check == (out is not None):
        raise HeadstartError(
            "import writes the folder --out, or says by --check what it would; give one of them"
        )
    address = None
    folder = Path(source)
    if source.startswith(SCHEME):
        folder, address = fetch_model(source)
    if out is None:
        _check(folder, as_json)
        return
    facts = transfer(folder, out, replace, address)
    if as_json:
        typer.echo(orjson.dumps(facts | {"out": str(out)}, option=orjson.OPT_INDENT_2).decode())
        return
    labels = f", {len(facts['labels'])} labels" if facts["labels"] else ""
    typer.echo(
        f"{facts['family']} for {facts['head']}, {facts['parameters']:,} parameters, "
        f"{facts['vocab_size']:,} tokens{labels}; in {out}"
    )
    if facts["ignored"]:
        typer.echo(f"generation_config.json sets {', '.join(facts['ignored'])}, which is not obeyed")


def _check(folder: Path, as_json: bool) -> None:
    """Print what is found; the command fails where something is unsupported."""
    from dataclasses import asdict

    from headstart.interchange.inspection import inspect_folder

    findings = inspect_folder(folder)
    if as_json:
        typer.echo(orjson.dumps([asdict(one) for one in findings], option=orjson.OPT_INDENT_2).decode())
    else:
        for one in findings:
            typer.echo(f"{one.verdict:<11}  {one.part:<10}  {one.text}")
    if any(one.verdict == "unsupported" for one in findings):
        raise typer.Exit(2)
