"""`headstart lab`: the claims of the field as experiments that anyone runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from headstart.lab.claim import Experiment
    from headstart.lab.conduct import Laboratory

lab = typer.Typer(help="The claims of the field, each measured by one command.", invoke_without_command=True)

Folder = Annotated[
    Path, typer.Option("--lab", help="The laboratory: registrations, runs, results, the page.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
WHERE = Path("lab")


@lab.callback()
def overview(
    context: typer.Context,
    folder: Folder = WHERE,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs, and which claims share them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the claims, their results, and their cost on this machine."""
    if context.invoked_subcommand is not None:
        return
    from headstart.lab.registry import experiments
    from headstart.lab.result import read_results

    results = {result["claim"]["id"]: result for result in read_results(folder)}
    if runs:
        _list_runs(folder, experiments())
        return
    rows = []
    for one in experiments():
        found = results.get(one.id)
        row: dict[str, Any] = {
            "id": one.id,
            "title": one.claim.title,
            "verdict": None,
            "reason": "",
            "level": None,
        }
        if found:
            row |= {name: found[name] for name in ("verdict", "reason", "level")}
        rows.append(row | {"minutes": {name: level.minutes for name, level in one.levels.items()}})
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    for row in rows:
        said = f"{row['verdict']}{', ' + row['reason'] if row['reason'] else ''}" if row["verdict"] else "–"
        typer.echo(f"{row['id']}  {said:38} {row['title']}")
    measured = f"{len(results)} of {len(rows)} measured in {folder.absolute()}"
    typer.echo(f"{measured}; `headstart lab run --quick` measures the others, --lab FOLDER reads elsewhere")


def _list_runs(folder: Path, known: "list[Experiment]") -> None:
    laboratory = _laboratory(folder, "quick", None, None)
    shared: dict[str, tuple[str, list[str], float | None]] = {}
    for one in known:
        for spec in laboratory.missing_or_made(one):
            facts = laboratory.cache.facts(spec)
            kind, claims, _ = shared.setdefault(spec.id, (spec.kind, [], None))
            seconds = facts["core_seconds"] if facts else None
            shared[spec.id] = (kind, [*dict.fromkeys([*claims, one.id])], seconds)
    for name, (kind, claims, seconds) in shared.items():
        made = "to be made" if seconds is None else f"{seconds:,.0f} core-s"
        typer.echo(f"{name}  {kind:10} {made:>14}  {' '.join(claims)}")


@lab.command()
def run(
    claims: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="As C21, or a .py file; none: all of them."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Minutes a claim; the default.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Larger models, more seeds: a night for all.")] = False,
    seeds: Annotated[int | None, typer.Option(min=3, help="Seeds, instead of the level's.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own text, instead of the samples.")
    ] = None,
    why: Annotated[
        str, typer.Option("--why", help="The reason for a rule that was changed, or is younger than a run.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that make runs at once.")] = 1,
    engine: Annotated[
        str, typer.Option(help="local, or ray: runs on a Ray cluster with a shared folder.")
    ] = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run, and register nothing.")
    ] = False,
    folder: Folder = WHERE,
    as_json: AsJson = False,
) -> None:
    """Register, run, measure and judge claims; the same command resumes a killed run."""
    from headstart.lab.conduct import conduct
    from headstart.lab.registry import chosen, experiments
    from headstart.lab.report import write_report

    if quick and full:
        raise HeadstartError("--quick and --full are two levels; give one")
    if engine not in ("local", "ray"):
        raise HeadstartError(f"there is no engine {engine!r}; known: local, ray")
    picked = chosen(claims or [])
    laboratory = _laboratory(folder, "full" if full else "quick", data, seeds)
    _say_plan(laboratory, picked)
    if dry_run:
        return
    results = conduct(laboratory, picked, experiments(), why, workers, engine)
    own = [one for one in picked if one.own]
    page = write_report(folder, [*experiments(), *own])
    if as_json:
        typer.echo(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
        return
    for result in results:
        reason = f" ({result['reason']})" if result["reason"] else ""
        typer.echo(f"{result['claim']['id']}  {result['verdict']}{reason}: {result['because']}")
    typer.echo(f"{page}")


def _say_plan(laboratory: "Laboratory", picked: "list[Experiment]") -> None:
    """What is there, what is to be made, and about what it costs."""
    missing = laboratory.missing_runs(picked)
    minutes = sum(one.level(laboratory.level).minutes for one in picked)
    kinds: dict[str, int] = {}
    for spec in missing:
        kinds[spec.kind] = kinds.get(spec.kind, 0) + 1
    to_make = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
    typer.echo(
        f"{len(picked)} claims, level {laboratory.level}; runs to make: {to_make}; about {minutes:,.0f} "
        f"core-minutes of "
        "measuring and runs, where nothing is there yet",
        err=True,
    )
    for one in picked:
        if one.own:
            typer.echo(f"{one.file} is run as the code that it is", err=True)


@lab.command()
def register(
    claims: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="As C21, or a .py file; none: all of them."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Register that level; else the quick one.")] = False,
    seeds: Annotated[int | None, typer.Option(min=3, help="Seeds, instead of the level's.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own text, instead of the samples.")
    ] = None,
    why: Annotated[str, typer.Option("--why", help="The reason for a rule that was changed.")] = "",
    folder: Folder = WHERE,
) -> None:
    """Register rules and plans without running anything; `run` does this itself."""
    from headstart.lab.registry import chosen, experiments

    laboratory = _laboratory(folder, "full" if full else "quick", data, seeds)
    laboratory.register(chosen(claims or []), experiments(), why)
    typer.echo(f"{len(laboratory.registrations.read())} registrations in {laboratory.registrations.file}")


@lab.command()
def report(folder: Folder = WHERE) -> None:
    """Write the page and the index again from the existing results."""
    from headstart.lab.registration import FILE
    from headstart.lab.registry import experiments
    from headstart.lab.report import write_report

    if not (folder / "claims").is_dir() or not (folder / FILE).exists():
        raise HeadstartError(
            f"{folder} holds no results; `headstart lab run` makes some, or name a folder with --lab"
        )
    typer.echo(f"{write_report(folder, experiments())}")


@lab.command()
def new(file: Annotated[Path, typer.Argument(help="The file to write, such as my_claim.py.")]) -> None:
    """Write a template for a claim of your own."""
    from headstart.folder import atomic
    from headstart.lab.registry import TEMPLATE
    from headstart.output import output_file

    if file.suffix != ".py":
        raise HeadstartError(f"{file} is no Python file; give a name that ends in .py")
    with output_file(file) as place, atomic(place) as temporary:
        temporary.write_text(TEMPLATE.read_text("utf-8"), encoding="utf-8")
    typer.echo(f"{file}: fill in the claim, then `headstart lab run {file}`")


def _laboratory(folder: Path, level: str, data: Path | None, seeds: int | None) -> "Laboratory":
    from headstart.lab.bench import raw_files
    from headstart.lab.conduct import Laboratory

    files, own = raw_files([data] if data else [])
    return Laboratory(folder, level, files, own, data, seeds)
