"""`headstart plan`: what a training run will cost and reach, before it is begun."""

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from headstart.cli.options import Replace
from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from headstart.scaling.page import Figure

PNG_NEEDS_PAGE = "--png takes the figures of a page; give --page too"

NEED_HARDWARE = ("time", "price", "utilisation", "flops", "memory")
NOT_HERE = ("compute", "loss", "model", "tokens", "unique", "inference", "batch", *NEED_HARDWARE[1:], "page")

plan = typer.Typer(
    help="Know before you train: scaling laws, sizes, memory, layout, cost.", invoke_without_command=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
PUBLISHED_LAW = "besiroglu-2024"
LawName = Annotated[
    str,
    typer.Option("--law", help="A published law (see `plan laws`), or the JSON file of `plan fit --out`."),
]
Pictures = Annotated[
    Path | None, typer.Option("--png", help="Folder for the page's figures as PNG files; needs --page.")
]
Family = Annotated[str, typer.Option("--family", help="Family of a model that is planned.")]
Vocabulary = Annotated[int, typer.Option("--vocabulary", min=16, help="Size of its vocabulary.")]
ContextLength = Annotated[int, typer.Option("--context", min=8, help="Tokens in a row.")]


@plan.callback()
def question(
    context: typer.Context,
    compute: Annotated[str | None, typer.Option(help="Training FLOPs, such as 1e21 or `10 PF-days`.")] = None,
    hardware: Annotated[
        str | None, typer.Option(help="Hardware, such as 64xH100; `here` measures this machine.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="How long the run may take, such as `30 days`.")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss to reach, in nats a token.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A preset, such as llama-3-8b, or a size, such as 1.3B.")
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Training tokens, such as 15T.")] = None,
    unique: Annotated[
        str | None, typer.Option(help="Distinct training tokens available; more are repeats.")
    ] = None,
    inference: Annotated[
        str | None, typer.Option(help="Tokens that the finished model will read and generate.")
    ] = None,
    law: Annotated[
        str | None,
        typer.Option(
            "--law",
            help=f"A published law (see `plan laws`) or the JSON file of `plan fit --out`; {PUBLISHED_LAW}. "
            "With --hardware here: compare sizes by it; else the largest with a token a parameter.",
        ),
    ] = None,
    family: Family = "headstart-decoder",
    vocabulary: Vocabulary = 32_000,
    context_length: ContextLength = 2048,
    batch: Annotated[str | None, typer.Option(help="Tokens in a step, such as 4M.")] = None,
    utilisation: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="MFU, instead of published ones.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Price of one device hour.")] = None,
    flops: Annotated[str | None, typer.Option(help="Dense bfloat16 FLOP/s of unknown hardware.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of unknown hardware, such as 80GB.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write a recipe for `headstart pretrain`.")] = None,
    data: Annotated[Path | None, typer.Option(help="Tokens folder to name in that recipe.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the plan as one HTML file.")] = None,
    png: Pictures = None,
    may_replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Plan from compute, from hardware and time, from a loss, or from a model.

    headstart plan --compute 1e21
    headstart plan --hardware 64xH100 --time "30 days" --write recipe.yaml
    headstart plan --model llama-3-8b --tokens 15T
    headstart plan --hardware here --time "10 min"
    """
    if context.invoked_subcommand is not None:
        return
    _told_apart(write, page)
    from headstart.output import output_file
    from headstart.page.numbers import amount
    from headstart.scaling.hardware import device_named
    from headstart.scaling.plan import Question, WrittenRecipe, answer, law_named, model_named, model_of
    from headstart.scaling.shape import recipe_for, write_recipe
    from headstart.scaling.terminal import print_plan
    from headstart.scaling.units import read_devices, read_duration, read_quantity

    def given(text: str | None, what: str) -> float | None:
        return None if text is None else read_quantity(text, what)

    _refuse_idle(context.params)
    seconds = None if time is None else read_duration(time)
    if hardware == "here":
        _here(law, seconds or 600.0, family, (write, may_replace), data, as_json)
        return
    count, kind = read_devices(hardware) if hardware else (1, "")
    asked = Question(
        law=law_named(law or PUBLISHED_LAW),
        compute=given(compute, "FLOPs"),
        seconds=seconds,
        hardware=device_named(kind, given(flops, "FLOP/s"), given(memory, "bytes")) if kind else None,
        devices=count,
        loss=given(loss, "nats a token"),
        model=model_named(model, family, vocabulary, context_length) if model else None,
        tokens=given(tokens, "tokens"),
        unique=given(unique, "tokens"),
        inference=given(inference, "tokens"),
        utilisation=utilisation,
        price=price,
        family=family,
        vocab_size=vocabulary,
        context=context_length,
        batch=given(batch, "tokens"),
    )
    planned = answer(asked)
    if write is not None:
        config, _ = model_of(asked)
        settings = recipe_for(config, planned.tokens, planned.batch, "bfloat16", data)
        why = f"Planned for {amount(planned.compute)} FLOPs by {planned.law.name}: "
        why += f"{amount(planned.model.parameters)} parameters, {amount(planned.tokens)} tokens."
        with output_file(write, replace=may_replace) as place:
            write_recipe(place, settings, [why])
        planned = replace(planned, recipe=WrittenRecipe(str(write), settings))
    if page is not None:
        from headstart.scaling.page import write_plan

        with output_file(page, replace=may_replace) as place:
            _pictures(write_plan(planned, place), png, may_replace)
    elif png is not None:
        raise HeadstartError(PNG_NEEDS_PAGE)
    if as_json:
        _print_json(planned.as_dict())
    else:
        print_plan(planned)
        for file in (write, page):
            if file is not None:
                typer.echo(f"written: {file}")


@plan.command()
def fit(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Tables (CSV, TSV, JSON lines) or run folders of `headstart pretrain`."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the fit as JSON, for `headstart plan --law FILE`.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the fit as one HTML file.")] = None,
    png: Pictures = None,
    may_replace: Replace = False,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Random seed of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit scaling laws to your own runs: constants with intervals, outliers, a test on larger runs."""
    from headstart.folder import write_json
    from headstart.output import output_file
    from headstart.scaling.fit_report import fit_report
    from headstart.scaling.runs import read_runs
    from headstart.scaling.terminal import print_fit

    _told_apart(out, page)
    with ExitStack() as claimed:
        place, page_place = (
            claimed.enter_context(output_file(one, inputs=runs, replace=may_replace)) if one else None
            for one in (out, page)
        )
        fitted, found = fit_report(read_runs(runs), samples, seed)
        if place is not None:
            write_json(place, found)
        if page_place is not None:
            from headstart.scaling.page import write_fit

            _pictures(write_fit(fitted, found, page_place), png, may_replace)
        elif png is not None:
            raise HeadstartError(PNG_NEEDS_PAGE)
    if as_json:
        _print_json(found)
        return
    print_fit(found)
    for file in (out, page):
        if file is not None:
            typer.echo(f"written: {file}")


@plan.command("model")
def describe_model(
    name: Annotated[str, typer.Argument(help="A preset, such as llama-3-70b, or a size, such as 1.3B.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows that a device computes at once.")] = 1,
    row: Annotated[int | None, typer.Option(min=1, help="Tokens in a row; else the model's context.")] = None,
    data: Annotated[int, typer.Option(min=1, help="Data-parallel ranks.")] = 1,
    tensor: Annotated[int, typer.Option(min=1, help="Tensor-parallel ranks.")] = 1,
    pipeline: Annotated[int, typer.Option(min=1, help="Pipeline stages.")] = 1,
    context_ranks: Annotated[int, typer.Option(min=1, help="Context-parallel ranks.")] = 1,
    shard: Annotated[int, typer.Option(min=0, max=3, help="0: DDP; 1 to 3: FSDP.")] = 0,
    family: Family = "headstart-decoder",
    vocabulary: Vocabulary = 32_000,
    context_length: ContextLength = 2048,
    as_json: AsJson = False,
) -> None:
    """Print parameters, operations and memory of a model, part by part."""
    from headstart.scaling.memory import Layout
    from headstart.scaling.model_cost import memory_table, model_cost
    from headstart.scaling.plan import model_named, plain
    from headstart.scaling.terminal import print_model

    config = model_named(name, family, vocabulary, context_length)
    length = row or config.context
    layout = Layout(data, tensor, pipeline, context_ranks, shard)  # type: ignore[arg-type]
    cost, memory = model_cost(config, length), memory_table(config, rows, length, layout)
    if as_json:
        _print_json(plain(cost) | {"memory": plain(memory)})
    else:
        print_model(name, cost, memory, f"{rows} x {length:,} tokens on {layout}")


@plan.command()
def standings(law: LawName = PUBLISHED_LAW, as_json: AsJson = False) -> None:
    """Compare published models: tokens a parameter, distance from the optimum, and its effect."""
    from headstart.scaling.plan import law_named, plain
    from headstart.scaling.published import models
    from headstart.scaling.questions import standing, standing_bands

    chosen = law_named(law)
    stands = [standing(chosen, model.name, model.counted(chosen), model.tokens) for model in models()]
    if as_json:
        rows = [
            {
                "interval": plain(standing_bands(chosen, stand.parameters, stand.tokens)),
                "name": stand.name, "parameters": stand.parameters, "tokens": stand.tokens,
                "compute": stand.compute, "tokens_per_parameter": stand.tokens_per_parameter,
                "optimal_parameters": stand.best.parameters, "optimal_tokens": stand.best.tokens,
                "loss": stand.loss, "loss_lost": stand.loss_lost, "extra_compute": stand.extra_compute,
                "inference_saved": stand.inference_saved, "verdict": stand.verdict,
            }
            for stand in stands
        ]  # fmt: skip
        _print_json(rows)
        return
    from headstart.page.numbers import amount
    from headstart.scaling.terminal import table

    table(
        f"Published models under {chosen.name}",
        ["model", "N", "D", "D/N", "best N", "loss", "lost", "train", "use", "size is"],
        [
            [
                stand.name, amount(stand.parameters), amount(stand.tokens),
                f"{stand.tokens_per_parameter:,.3g}", amount(stand.best.parameters),
                f"{stand.loss:.3f}", f"{stand.loss_lost:.3f}",
                f"{stand.extra_compute:+.0%}", f"{-stand.inference_saved:+.0%}", stand.side,
            ]
            for stand in stands
        ],
    )  # fmt: skip
    typer.echo(
        "lost: nats above the best for its compute; train, use: compute beyond that of the cheapest "
        "training to the same loss. Losses of other tokenizers and texts differ: compare, do not quote."
    )


@plan.command()
def laws(as_json: AsJson = False) -> None:
    """List the known laws with source, constants, range and uncertainty."""
    from headstart.scaling.published import catalogue

    found = catalogue()
    if as_json:
        _print_json(found)
        return
    for entry in found:
        typer.echo(f"{entry['name']}: {entry['says']}\n    {entry['source']}")
        for line in (entry["reach"], entry["uncertainty"], entry["note"]):
            if line:
                typer.echo(f"    {line}")


@plan.command()
def sweep(
    recipe: Annotated[
        Path, typer.Argument(help="Settings that all runs share, as for `headstart pretrain`.")
    ],
    budget: Annotated[str, typer.Option(help="FLOPs, such as 1e15, or time on this machine, such as `2 h`.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs; a stopped sweep resumes.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as tokens=FOLDER.")
    ] = None,
    may_replace: Replace = False,
    design_only: Annotated[
        bool, typer.Option("--design-only", help="Print the runs and train none.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a grid of small runs, predict a larger run, train it, and score the prediction."""
    from headstart.output import output
    from headstart.scaling.fit_report import BUDGET
    from headstart.scaling.sweep import budget_in, design, remembered_budget
    from headstart.scaling.sweep import sweep as run_sweep
    from headstart.scaling.terminal import print_design, print_sweep
    from headstart.scaling.units import is_duration, read_duration, read_quantity
    from headstart.training.recipe import PretrainRecipe

    base = PretrainRecipe.load(recipe, overrides or [])

    def given() -> float:
        return (
            budget_in(base, read_duration(budget)) if is_duration(budget) else read_quantity(budget, "FLOPs")
        )

    if design_only:
        compute = given()
        grid, final = design(base, compute)
        if as_json:
            runs = [{"name": run.name, "parameters": run.parameters, "tokens": run.tokens} for run in grid]
            _print_json({"grid": runs, "final": final.name, "budget": compute})
        else:
            print_design(grid, final)
        return
    with output(out, "sweep", inputs=[recipe, base.tokens], own=(BUDGET,), replace=may_replace):
        compute = remembered_budget(out, budget, given)
        if not as_json:
            print_design(*design(base, compute))
        found = run_sweep(base, compute, out)
    if as_json:
        _print_json(found)
    else:
        print_sweep(found)


@plan.command()
def transfer(
    widths: Annotated[str, typer.Option(help="Widths to compare, in multiples of 32.")] = "64,128,256",
    family: Family = "headstart-decoder",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the coordinate check.")] = 3,
    sweep_recipe: Annotated[
        Path | None,
        typer.Option("--sweep", help="Also train each width at six rates, by this recipe (minutes)."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the sweep's runs.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the sweep's recipe.")
    ] = None,
    may_replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Test whether learning rates and initialisation transfer across widths: a coordinate check, and a sweep.

    The recipe's rates are for the smallest width; the sweep tries the same rates and the scaled rates.
    """
    from headstart.output import output
    from headstart.scaling.terminal import print_rates, print_transfer
    from headstart.scaling.width_transfer import FACTORS, best_factor, coordinate_check, rate_sweep
    from headstart.training.recipe import OptimiserRecipe, PretrainRecipe

    try:
        sizes = sorted({int(width) for width in widths.split(",")})
    except ValueError:
        sizes = []
    if len(sizes) < 2 or any(width < 32 or width % 32 for width in sizes):
        raise HeadstartError(f"--widths {widths} has to be two or more multiples of 32, as in 64,128,256")
    found = {
        rule: coordinate_check(family, sizes, OptimiserRecipe(), tuned, seeds)
        for rule, tuned in (("same rates", None), ("by the rule", sizes[0]))
    }
    losses = {}
    if sweep_recipe is not None:
        if out is None:
            raise HeadstartError("a sweep needs a folder for its runs; give --out")
        base = PretrainRecipe.load(sweep_recipe, [*(overrides or []), f"model.family={family}"])
        made_from = {"recipe": base.model_dump(mode="json"), "widths": sizes}
        read = [sweep_recipe, base.tokens]
        with output(out, "rate sweep", settings=made_from, inputs=read, replace=may_replace):
            losses = {
                rule: rate_sweep(base, sizes, tuned, out / rule.replace(" ", "-"))
                for rule, tuned in (("same rates", None), ("by the rule", sizes[0]))
            }
    if as_json:
        checks = {rule: {"change": one.change, "slopes": one.slopes} for rule, one in found.items()}
        sweeps = {
            rule: {str(w): {"losses": row, "best_factor": best_factor(row)} for w, row in one.items()}
            for rule, one in losses.items()
        }
        _print_json({"check": checks, "factors": FACTORS, "sweeps": sweeps})
    else:
        print_transfer(sizes, found)
        for rule, one in losses.items():
            print_rates(rule, one)


@plan.command()
def measure(as_json: AsJson = False) -> None:
    """Measure the memory of real training steps on this machine beside the plan (minutes)."""
    from headstart.page.numbers import size
    from headstart.scaling.measure import measure_all

    rows = []
    for one in measure_all():
        rows.append(
            {
                "shape": one.shape, "family": one.family, "precision": one.precision,
                "checkpointing": one.checkpointing,
                "planned": one.planned, "measured": one.measured, "error": one.error,
            }
        )  # fmt: skip
        if not as_json:
            typer.echo(
                f"{one.shape} {one.family}, {one.precision}, {one.checkpointing} recomputed: planned "
                f"{size(one.planned)}, "
                f"measured {size(one.measured)} ({one.error:+.1%})"
            )
    if as_json:
        _print_json(rows)


def _here(
    law: str | None,
    seconds: float,
    family: str,
    target: tuple[Path | None, bool],
    data: Path | None,
    as_json: bool,
) -> None:
    """Measure this machine and say what fits into the time.

    Args:
        target: the recipe to write, and whether it may replace one.
    """
    from headstart.output import output_file
    from headstart.page.numbers import amount, duration
    from headstart.scaling.local_machine import plan_here
    from headstart.scaling.plan import law_named
    from headstart.scaling.shape import write_recipe
    from headstart.scaling.terminal import print_possible

    write, may_replace = target
    plan = plan_here(seconds, family, data, law_named(law) if law else None)
    if write is not None:
        settings = plan.recipe.model_dump(mode="json", exclude_defaults=True)
        if data is None:
            del settings["tokens"]
        best = plan.best
        why = f"Planned for this machine and {duration(seconds)}: {amount(best.parameters)} parameters at "
        why += f"{best.tokens_per_second:,.0f} tokens a second, as measured."
        with output_file(write, replace=may_replace) as place:
            write_recipe(place, settings, [why])
    if as_json:
        _print_json(plan.as_dict())
    else:
        print_possible(plan)
        if write is not None:
            typer.echo(f"written: {write}")


def _refuse_idle(given: dict[str, Any]) -> None:
    """Refuse an option that would change nothing.

    Raises:
        HeadstartError: there is one.
    """
    hardware = given["hardware"]
    for name in NEED_HARDWARE if hardware is None else ():
        if given[name] is not None:
            raise HeadstartError(f"--{name} says nothing without hardware; give --hardware 64xH100 too")
    for name in NOT_HERE if hardware == "here" else ():
        if given[name] is not None:
            raise HeadstartError(
                f"--{name} says nothing with --hardware here, which measures this machine; leave one of them "
                "out"
            )
    if given["price"] == math.inf:
        raise HeadstartError("--price is infinite; give what one device hour costs")
    if given["data"] is not None and given["write"] is None and hardware != "here":
        raise HeadstartError("--data is named in the recipe of --write; give --write recipe.yaml too")


def _told_apart(file: Path | None, page: Path | None) -> None:
    """Refuse two outputs that are one file.

    Raises:
        HeadstartError: they are.
    """
    if file is not None and page is not None and file.resolve() == page.resolve():
        raise HeadstartError(f"{file} and --page are the same file; give each a name of its own")


def _pictures(figures: "list[Figure]", folder: Path | None, replace: bool) -> None:
    """The charts of a page as pictures, where they are asked for."""
    if folder is None:
        return
    from headstart.page.png import write_pngs

    for file in write_pngs([(figure.heading, figure.chart) for figure in figures], folder, replace):
        typer.echo(f"written: {file}", err=True)


def _print_json(found: Any) -> None:
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
