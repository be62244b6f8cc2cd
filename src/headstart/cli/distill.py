"""`headstart distill`: train a model beside a teacher."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import AsJSON, DryRun, RecipeFile, Replace
from headstart.cli.pretrain import show_cost
from headstart.cli.settings import settings_option


def distill(
    teacher: Annotated[Path, typer.Argument(help="The teacher: a model folder, encoder or decoder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings, such as steps=2000. way=states (default), relations, labels or static says what "
            "the student learns of the teacher.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="A tokens folder, a corpus folder, or files of text; way=static needs none.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder, with `model` in it; an existing run is resumed."),
    ] = None,
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("distill")] = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Train a small model with a teacher, or derive a static model from it; a stopped run resumes."""
    from headstart.errors import HeadstartError
    from headstart.tasks.distillation.ways import StatesDistillation, distillation

    made = distillation(teacher, data, out, recipe, overrides)
    if dry_run:
        from headstart.training.distillation.run import trial

        if not isinstance(made, StatesDistillation) or made.data is not None:
            raise HeadstartError("--dry-run is for way=states and way=relations, on a tokens folder")
        show_cost(made.recipe, as_json, trial)
        return
    if out is None:
        raise HeadstartError("say where the run is to be written: --out FOLDER")
    model, figures = made.run(out, replace)
    if as_json:
        typer.echo(orjson.dumps({"model": str(model)} | figures, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(f"{made.sentence.format(**figures)}; model in {model}")
