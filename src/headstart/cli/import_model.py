"""`headstart import`: take a model from elsewhere."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import Replace


def import_model(
    source: Annotated[Path, typer.Argument(help="A Hugging Face folder (safetensors), or a GGUF file.")],
    out: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Read a Hugging Face folder or a GGUF file and write it as a checked model folder."""
    from headstart.interchange.transfer import import_model as transfer

    facts = transfer(source, out, replace)
    if as_json:
        typer.echo(orjson.dumps(facts | {"out": str(out)}, option=orjson.OPT_INDENT_2).decode())
    else:
        labels = f", {len(facts['labels'])} labels" if facts["labels"] else ""
        typer.echo(
            f"{facts['family']} for {facts['head']}, {facts['parameters']:,} parameters, "
            f"{facts['vocab_size']:,} tokens{labels}; in {out}"
        )
