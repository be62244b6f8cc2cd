"""Plans, fits and models as tables and sentences for a terminal."""

from collections.abc import Mapping
from typing import cast

from rich.box import SIMPLE_HEAD

from headstart.console import Console, Table
from headstart.page.numbers import amount, duration, size
from headstart.scaling.fit_report import FitReport, SweepReport
from headstart.scaling.hardware import Bill
from headstart.scaling.local_machine import LocalPlan
from headstart.scaling.memory import Memory
from headstart.scaling.model_cost import ModelCost
from headstart.scaling.plan import HardwareUsed, Plan
from headstart.scaling.sweep import PlannedRun
from headstart.scaling.width_transfer import FACTORS, CoordinateCheck, best_factor

FILE_WIDTH = 120
"""Where the output is no terminal whose width is known."""


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    shown = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = max(FILE_WIDTH, shown.widths(console).maximum)
    if shown.widths(console).minimum <= console.width:
        console.print(shown)
    else:  # rich would cut figures
        console.print(title)
        for first, *others in rows:
            cells = zip(columns[1:], others, strict=True)
            told = ", ".join(f"{column} {cell}" for column, cell in cells)
            console.print(f"{columns[0]} {first}: {told}".lstrip())
    console.print()


def print_plan(plan: Plan) -> None:
    best = plan.optimum
    print(f"{amount(plan.compute)} FLOPs of training, by {plan.law.name} ({plan.law.source}):")
    between = best.parameters_interval
    sure = f" (90 %: {amount(between[0])} to {amount(between[1])})" if between else ""
    print(
        f"  {amount(best.parameters)} parameters{sure} on {amount(best.tokens)} tokens, "
        f"{best.tokens_per_parameter:.3g} a parameter"
    )
    span_of_loss = best.loss_interval
    sure = f" (90 %: {span_of_loss[0]:.3f} to {span_of_loss[1]:.3f})" if span_of_loss else ""
    print(f"  expected loss {best.loss:.3f} nats a token{sure}, on that law's text and tokenizer")
    if best.beyond > 1.01:
        print(f"  this is {best.beyond:.3g} times beyond the runs that the law was fitted to")
    table(
        f"What the laws say (they differ {plan.disagreement:.3g} times in size)",
        ["law", "parameters", "tokens", "tokens/parameter", "loss"],
        [
            [
                each.law, amount(each.parameters), amount(each.tokens),
                f"{each.tokens_per_parameter:.3g}", "" if each.loss is None else f"{each.loss:.3f}",
            ]
            for each in plan.opinions
        ],
    )  # fmt: skip
    if plan.repeated is not None:
        again = plan.repeated
        print(
            f"with {amount(again.unique)} different tokens: {amount(again.parameters)} parameters, "
            f"{amount(again.tokens)} tokens in {again.epochs:.3g} passes, worth "
            f"{amount(again.worth)} fresh "
            f"ones; loss {again.loss:.3f} (muennighoff-2023)"
        )
    if plan.lifetime is not None:
        life = plan.lifetime
        print(
            f"to answer {amount(life.inference)} tokens at a loss of {life.loss:.3f}: "
            f"{amount(life.parameters)} parameters on {amount(life.tokens)} tokens, "
            f"{life.tokens_per_parameter:,.3g} a parameter; {amount(life.total)} FLOPs in all "
            "instead of "
            f"{amount(life.total_of_cheapest_training)} (Sardana et al. 2023)"
        )
    if plan.standing is not None:
        stand = plan.standing
        print(
            f"this model: {stand.verdict}; loss {stand.loss:.3f}, {stand.loss_lost:.3f} above "
            "the best for "
            f"its compute; {stand.extra_compute:+.0%} training compute and "
            f"{-stand.inference_saved:+.0%} a "
            "generated token against the cheapest training to the same loss"
        )
    model = plan.model
    shape = model.shape
    print(
        f"model: {model.family}, {shape['layers']} layers, width {shape['width']}, {shape['heads']} heads "
        f"({shape['kv_heads']} of keys), feed-forward {shape['feedforward_width']}, "
        f"{model.parameters:,} parameters; {amount(model.training_flops_per_token)} FLOPs a token "
        "counted, "
        f"6 N is {model.six_n_error:+.1%}; batch {amount(plan.batch)} tokens"
    )
    if plan.bill is not None and plan.hardware is not None:
        _print_cost(plan, plan.bill, plan.hardware)


def _print_cost(plan: Plan, bill: Bill, hardware: HardwareUsed) -> None:
    table(
        "Layouts that fit (utilisation estimated by formulas: to compare them)",
        ["layout", "rows x batches", "recomputed", "memory", "MFU", "lost most to"],
        [
            [
                each.layout, f"{each.micro_rows} x {each.micro_batches}", each.checkpointing,
                size(each.bytes_a_device), f"{each.utilisation_estimated:.0%}",
                ", ".join(f"{name} {share:.0%}" for name, share in
                          sorted(each.losses.items(), key=lambda item: -item[1])[:1] if share >= 0.005),
            ]
            for each in plan.layouts or []
        ],
    )  # fmt: skip
    worst, best = bill.utilisation
    quick, slow = bill.seconds
    hours = bill.device_hours
    print(
        f"at {worst:.0%} to {best:.0%} of the peak: {duration(quick)} to {duration(slow)}, "
        f"{amount(hours[0])} to {amount(hours[1])} device hours"
    )
    if bill.megawatt_hours:
        low, high = bill.megawatt_hours
        print(f"energy: {low:,.3g} to {high:,.3g} MWh, devices at rated power and a tenth for the building")
    if bill.price:
        print(f"price: {bill.price[0]:,.0f} to {bill.price[1]:,.0f}")
    else:
        print("price: give --price, of one device hour")
    print(f"figures of the hardware: {hardware.source}")
    least, *_, most = [*bill.sources, bill.sources[-1]]
    print(f"utilisation: {least}" + (f" to {most}; {len(bill.sources)} runs" if most != least else ""))


def _between(interval: tuple[float, float] | None) -> str:
    return "{:.3f} to {:.3f}".format(*interval) if interval else ""


def print_fit(found: FitReport) -> None:
    constants = cast(Mapping[str, float], found)  # E, A, B, alpha and beta are among its keys
    table(
        f"L = E + A / N^alpha + B / D^beta, fitted to {found['runs']} runs",
        ["constant", "value", "90 % interval", "error"],
        [
            [name, f"{constants[name]:.4g}", "{:.4g} to {:.4g}".format(*found["intervals"][name]),
             f"{found['errors'][name]:.2g}"]
            for name in found["intervals"]
        ],
    )  # fmt: skip
    for outlier in found["outliers"]:
        print(
            f"outlier, left out: {outlier['name']} ({amount(outlier['parameters'])} parameters, "
            f"{amount(outlier['tokens'])} tokens): loss {outlier['loss']:.3f}, the law says "
            f"{outlier['predicted']:.3f}"
        )
    for name, reason in found["left_out"].items():
        print(f"left out: {name}: {reason}")
    if "stated_compute" in found:
        least, most = found["stated_compute"]
        print(
            f"the column of compute is not used: its figures are {least:.3g} to {most:.3g} times 6 N D, "
            "which the fit takes from parameters and tokens"
        )
    table(
        "N ~ C^a, by each approach",
        ["approach", "a", "90 % interval", "tokens/parameter"],
        [
            [each["approach"], f"{each['exponent']:.3f}", _between(each["interval"]),
             f"{each['tokens_per_parameter']:.3g}"]
            for each in found["approaches"]
        ],
    )  # fmt: skip
    check = found["held_out"]
    if check:
        print(
            f"held out: from the {check['fitted']} smaller runs the {check['runs']} largest (up to "
            f"{check['factor']:.3g} times the compute) are predicted to {check['mean_error']:.1%}, "
            f"{check['inside']} of {check['runs']} inside the band"
        )
    for name, misses in found["published_laws_on_these_runs"].items():
        print(
            f"on these runs {name} is off by {misses['mean_error']:.1%} ({misses['bias']:+.1%} on average, "
            f"{abs(misses['bias_in_standard_errors']):.1f} standard errors)"
        )
    printed = found["printed_interval"]
    print(
        f"the 80 % interval of a is {printed['width_here']:.3f} wide; one of {printed['width']:g}, as "
        "Hoffmann et al. "
        f"2022 print from about 400 runs, would take {printed['runs_needed']:,.0f} such runs"
    )


def print_model(name: str, cost: ModelCost, memory: dict[str, Memory], setting: str) -> None:
    """A model's parameters, operations, cache and memory."""
    total = cost.parameters
    table(
        f"{name}: {total:,} parameters ({cost.parameters_without_embeddings:,} without embeddings)",
        ["part", "parameters", "share"],
        [[part, f"{count:,}", f"{count / total:.1%}"] for part, count in cost.parameters_by_part.items()],
    )
    everything = cost.training_flops_per_token
    table(
        f"{amount(everything)} FLOPs a training token in rows of {cost.row:,}; "
        f"6 N = {amount(cost.six_n)} is {cost.six_n_error:+.1%}",
        ["part", "forward", "backward", "share"],
        [
            [part, amount(one.forward), amount(one.backward),
             f"{one.total / everything:.1%}"]
            for part, one in cost.flops_per_token.items()
        ],
    )  # fmt: skip
    if cost.cache_bytes:
        kinds = list(next(iter(cost.cache_bytes.values())))
        table(
            "Key-value cache of one text in bfloat16",
            ["tokens", *kinds],
            [
                [f"{length:,}", *(size(held[kind]) for kind in kinds)]
                for length, held in cost.cache_bytes.items()
            ],
        )
    parts = list(dict.fromkeys(part for row in memory.values() for part in row.parts))
    table(
        f"Memory for training with AdamW on the fullest device: {setting}",
        ["", *parts, "peak"],
        [
            [kind, *(size(row.parts.get(part, 0.0)) for part in parts), size(row.peak)]
            for kind, row in memory.items()
        ],
    )


def print_possible(plan: LocalPlan) -> None:
    """What this machine can train."""
    machine = plan.machine
    rate = machine["gemm_gflops"][machine["precision"]]
    table(
        f"{machine['cpu']}, {machine['cores']} cores, {rate:.0f} GFLOP/s in {machine['precision']}: "
        f"{duration(plan.seconds)} of training",
        ["parameters", "layers x width", "tokens/s", "tokens", "tokens/parameter", "of that rate", "memory"],
        [
            [
                amount(row.parameters), f"{row.layers} x {row.width}",
                f"{row.tokens_per_second:,.0f}", amount(row.tokens),
                f"{row.tokens_per_parameter:.3g}", f"{row.flops_per_second / rate / 1e9:.0%}",
                size(row.peak_bytes),
            ]
            for row in plan.models
        ],
    )  # fmt: skip
    best = plan.best
    if plan.law:
        chosen = f"sizes compared by {plan.law}"
    elif best.tokens < best.parameters:
        chosen = "the smallest: no size sees a token a parameter in that time"
    else:
        chosen = "the largest that sees a token a parameter"
    print(
        f"learns most in that time: {amount(best.parameters)} parameters on {amount(best.tokens)} tokens in "
        f"{best.steps:,} steps ({chosen}; rows of {plan.context}, {plan.rows} a step)"
    )


def print_design(grid: list[PlannedRun], final: PlannedRun) -> None:
    """The runs of a sweep, before they are trained."""
    table(
        f"{len(grid)} runs, then one of {final.compute / grid[-1].compute:.3g} times the largest's compute",
        ["run", "parameters", "tokens", "tokens/parameter", "FLOPs"],
        [
            [run.name, amount(run.parameters), amount(run.tokens), f"{run.tokens / run.parameters:.3g}",
             amount(run.compute)]
            for run in [*grid, final]
        ],
    )  # fmt: skip


def print_sweep(found: SweepReport) -> None:
    """The fit of a sweep, its forecast and how that came out."""
    print_fit(found["fit"])
    forecast, score = found["forecast"], found["score"]
    low, high = forecast["band"]
    print(
        f"predicted from {forecast['runs']} runs, {forecast['times_the_largest_run']:.3g} times beyond the "
        f"largest: {forecast['loss']:.4f} ({forecast['level']:.0%}: {low:.4f} to {high:.4f})"
    )
    verdict = "inside" if score["inside"] else "outside"
    print(f"measured: {score['measured']:.4f}, {verdict} the band, off by {score['error']:+.2%}")


def print_transfer(widths: list[int], found: dict[str, CoordinateCheck]) -> None:
    """How far activations moved, by width, with and without the rule."""
    for rule, check in found.items():
        table(
            f"Change of activations after some steps, {rule}",
            ["place", *(f"width {width}" for width in widths), "grows as"],
            [
                [place, *(f"{value:.3g}" for value in values), f"D^{check.slopes[place]:+.2f}"]
                for place, values in check.change.items()
            ],
        )


def print_rates(rule: str, losses: dict[int, list[float]]) -> None:
    """Held-out loss of every width at every rate, and the best rate between them."""
    table(
        f"Held-out loss (nats a token) with all rates times a factor, {rule}",
        ["width", *(f"{factor:g}" for factor in FACTORS), "best factor"],
        [
            [str(width), *(f"{loss:.3f}" for loss in row), f"{best_factor(row):.2f}"]
            for width, row in losses.items()
        ],
    )
