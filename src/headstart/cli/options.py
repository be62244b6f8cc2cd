"""Options that several verbs take."""

from typing import Annotated

import typer

Replace = Annotated[
    bool, typer.Option("--replace", help="Delete what is there already, having said what that is.")
]
