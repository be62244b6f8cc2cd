"""`headstart models`: the published models side by side, and how they followed each other."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import orjson
import typer

from headstart.cli.options import AsJSON
from headstart.console import Console, Table
from headstart.errors import HeadstartError, nearest

BERT = ("bert-base", "bert-large")
GPT = {"GPT-1": "gpt1", "GPT-2": "gpt2-xl", "GPT-3": "gpt3-175b"}
LLAMA = ("llama-3-8b", "llama-3-70b", "llama-3.1-405b")
LLAMA_ROWS = (
    "layers",
    "width",
    "heads",
    "key-value heads",
    "feed-forward width",
    "context",
    "vocabulary",
    "parameters",
    "tokens",
    "tokens a parameter",
)
THREE = ("bert-large", "gpt3-175b", "llama-3.1-405b")
THREE_ROWS = (
    "architecture",
    "attention",
    "objective",
    "parameters",
    "trained on",
    "tokens",
    "vocabulary",
    "positions",
    "norm",
    "activation",
    "writes text",
    "open weights",
)
BALANCE = ("gpt3-175b", "chinchilla-70b", "llama-1-65b", "llama-2-70b", "llama-3-70b")
MOST_COLUMNS = 4
LEAST = ("paper", "inner", "vocab.", "heads", "context")
"""Columns of the table of sizes that are left out where there is no room, the first one first."""
LEGEND = """layers: encoder + decoder; heads: of queries / of keys and values, where these are fewer
inner: feed-forward width; paper: parameters as published; tokens: trained on, repeats counted"""


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Families or models; none: everything.")
    ] = None,
    as_json: AsJSON = False,
    folders: Annotated[
        bool, typer.Option("--folders", help="Print which folders of the hub are read, as Markdown.")
    ] = False,
) -> None:
    """Compare published models: sizes, exact parameters, training data; up to four side by side."""
    from headstart.models.catalogue.comparison import facts
    from headstart.models.catalogue.timeline import TIMELINE, UNDISCLOSED

    if folders:
        from headstart.models.catalogue.folders import folders_table

        typer.echo(folders_table())
        return
    chosen = _chosen(names or [])
    if as_json:
        figures: dict[str, Any] = {"models": [facts(name) for name in chosen]}
        if not names:
            figures["undisclosed"] = [asdict(row) for row in UNDISCLOSED]
            figures["timeline"] = [asdict(row) for row in TIMELINE]
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    if names:
        tables = [_side_by_side("", chosen) if len(chosen) <= MOST_COLUMNS else _sizes("", chosen)]
    else:
        tables = [
            _timeline(),
            _sizes("BERT", BERT),
            _gpt_line(),
            _side_by_side("Llama 3", LLAMA, LLAMA_ROWS),
            _side_by_side("An encoder, a decoder, and a decoder of today", THREE, THREE_ROWS),
            _sizes("Tokens a parameter: Chinchilla found 20 best for its training compute", BALANCE),
            _sizes("All published models", chosen),
        ]
    for table in tables:
        console.print(table)
        console.print()
    if len(chosen) > MOST_COLUMNS:
        console.print(LEGEND)
    if not names:
        for row in UNDISCLOSED:
            console.print(
                f"{row.name} ({row.year}) is not among them. {row.source}. Estimates: {row.estimates}."
            )


def _chosen(names: Sequence[str]) -> list[str]:
    """The presets of these names and families; of none, all."""
    from headstart.models.registry import FAMILIES, presets

    known = presets()
    if not names:
        return list(known)
    found = []
    for name in names:
        if name in known:
            found.append(name)
        elif name in FAMILIES and FAMILIES[name].presets:
            found += FAMILIES[name].presets
        elif name in FAMILIES:
            raise HeadstartError(f"of {name} there are no published models; you choose its sizes in a recipe")
        else:
            raise HeadstartError(f"there is no model or family {name!r}{nearest(name, [*known, *FAMILIES])}")
    return list(dict.fromkeys(found))


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)


def _sizes(title: str, names: Sequence[str]) -> Table:
    """On a narrow terminal the columns that matter least are left out, rather than any figure cut."""
    rows = [_size_row(name) for name in names]
    for count in range(len(LEAST) + 1):
        left_out = LEAST[:count]
        table = _table(title)
        for column in rows[0]:
            if column not in left_out:
                justify: Literal["left", "right"] = "left" if column == "model" else "right"
                table.add_column(column, justify=justify, style="bold" if column == "parameters" else "")
        for row in rows:
            table.add_row(*(cell for column, cell in row.items() if column not in left_out))
        if left_out:
            table.caption = f"no room for {', '.join(left_out)}; --json has all"
            table.caption_justify = "left"
        if table.fits(Console()):
            break
    return table


def _size_row(name: str) -> dict[str, str]:
    """A model's cells by their columns."""
    from headstart.models.catalogue.comparison import count, layers, ratio
    from headstart.models.registry import preset_config, presets

    config, preset = preset_config(name), presets()[name][1]
    grouped = f"/{config.kv_heads}" if config.kv_heads < config.heads else ""
    return {
        "model": name,
        "layers": layers(config),
        "width": str(config.width),
        "heads": f"{config.heads}{grouped}",
        "inner": str(config.feedforward_width),
        "context": str(config.context),
        "vocab.": str(config.vocab_size),
        "parameters": f"{preset.parameters:,}",
        "paper": preset.published,
        "tokens": count(preset.tokens) if preset.tokens else "-",
        "tokens/\nparam.": ratio(preset.tokens / preset.parameters) if preset.tokens else "-",
    }


def _side_by_side(title: str, names: Sequence[str], rows: Sequence[str] = ()) -> Table:
    from headstart.models.catalogue.comparison import properties

    table = _table(title)
    table.add_column("", style="bold", no_wrap=True)
    columns = [properties(name) for name in names]
    for name in names:
        table.add_column(name)
    for row in rows or columns[0]:
        table.add_row(row, *(column[row] for column in columns))
    return table


def _gpt_line() -> Table:
    from headstart.models.catalogue.comparison import properties
    from headstart.models.catalogue.timeline import UNDISCLOSED, milestone

    table = _table("The GPT line")
    for column in ("model", "year", "parameters", "trained on", "what it brought"):
        table.add_column(column)
    for title, name in GPT.items():
        known = properties(name)
        data = known["trained on"] if known["tokens"] == "not given" else f"{known['tokens']} tokens"
        table.add_row(title, known["year"], known["as published"], data, milestone(title).brought)
    for row in UNDISCLOSED:
        table.add_row(row.name, str(row.year), "undisclosed", "undisclosed", milestone(row.name).brought)
    return table


def _timeline() -> Table:
    from headstart.models.catalogue.timeline import TIMELINE

    table = _table("How the field came here")
    for column in ("when", "model", "what it brought", "source"):
        table.add_column(column, no_wrap=column in ("when", "model"))
    for entry in TIMELINE:
        table.add_row(entry.date, entry.name, entry.brought, entry.source)
    return table
