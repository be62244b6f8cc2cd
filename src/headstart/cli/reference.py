"""The page of all commands, `docs/reference-commands.md`, made from the parser."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from headstart.page.markdown import markdown_table

LEAD = (
    "# All commands\n\n"
    "Made by `make reference` from the parser; `headstart VERB --help` prints the same. Settings, which are\n"
    "written `key=value`, are on [a page of their own](reference-settings.md).\n"
)


def reference() -> str:
    """Every verb with its arguments and options, in the order of the help."""
    from headstart.cli import app

    return LEAD + "".join(_sections(get_command(app), "headstart", 2))


def _sections(group: Any, name: str, level: int) -> Iterator[str]:
    """A section for every command below `group`; groups contain theirs."""
    context = group.make_context(name, [], resilient_parsing=True)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        if command.hidden:
            continue
        yield f"\n{'#' * level} {name} {verb}\n\n{command.help}\n"
        if hasattr(command, "list_commands"):
            yield _parameters(command)
            yield from _sections(command, f"{name} {verb}", level + 1)
        else:
            yield _parameters(command)


def _parameters(command: Any) -> str:
    rows = [
        {
            "": _written(one),
            "default": _default(one),
            "meaning": " ".join((getattr(one, "help", "") or "").split()),
        }
        for one in command.params
        if not getattr(one, "hidden", False)
    ]
    return f"\n{markdown_table(rows)}\n" if rows else ""


def _written(parameter: Any) -> str:
    """An option by its names, an argument as the usage line has it."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(f"`{name}{metavar}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "to be given"
    value = parameter.default
    if value in (None, (), [], False) or callable(value) or type(value).__name__ == "Sentinel":
        return ""
    return f"`{value}`"
