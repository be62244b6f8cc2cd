"""`headstart duel`: an encoder, a decoder and an encoder-decoder on equal terms."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import AsJSON, RecipeFile, Replace, data_path
from headstart.cli.settings import settings_option


def duel(
    tokens: Annotated[
        Path, typer.Argument(help="The tokens folder of all three models, with a held-out split.")
    ],
    data: Annotated[
        Path, typer.Option("--data", parser=data_path, help="Labelled texts, as for finetune; one task.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; a stopped run is resumed.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as steps=600 width=256."),
    ] = None,
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("duel")] = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Train an encoder, a decoder and an encoder-decoder on equal terms, and compare their abilities."""
    from headstart.evaluation.duel import DuelRecipe
    from headstart.evaluation.duel import duel as fight
    from headstart.evaluation.duel_result import Duel

    result: Duel = fight(tokens, data, out, DuelRecipe.load(recipe, overrides or []), replace)
    if as_json:
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
        return
    for one in result["models"]:
        typer.echo(
            f"  {one['name']:<16} {one['parameters']:>12,} parameters  {one['flops']:.2e} operations  "
            f"{one['tokens']:>12,} tokens  {one['core_seconds']:.0f} core-seconds"
        )
    for task in result["tasks"]:
        typer.echo(f"  {task['task']} ({task['metric']}, n = {task['n']:,})")
        for cell in task["cells"]:
            said = cell["reason"]
            if cell["value"] is not None:
                said = f"{cell['value']:.3f} ({cell['low']:.3f} to {cell['high']:.3f})"
            typer.echo(f"    {cell['model']:<16} {said}")
        for pair in task["pairs"]:
            typer.echo(
                f"    {pair['first']} less {pair['second']}: {pair['difference']:+.3f} "
                f"({pair['low']:+.3f} to {pair['high']:+.3f}, p = {pair['p']:.2g})"
            )
