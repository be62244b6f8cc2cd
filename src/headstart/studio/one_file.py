"""A view of a folder as one HTML file, without a browser: what it would ask is asked here."""

import asyncio
from pathlib import Path

from fastapi import FastAPI

from headstart.errors import HeadstartError, nearest
from headstart.folder import atomic
from headstart.interchange.box import named
from headstart.studio import export
from headstart.studio.app import Options, create
from headstart.studio.opening import OPENINGS, Opening
from headstart.studio.routes.export import with_reach


def written(view: str, folder: Path, file: Path) -> None:
    """Write the page.

    Raises:
        HeadstartError: a view that asks for more than a folder, a folder that it cannot show, or pages that
            were not built.
    """
    if view not in OPENINGS:
        raise HeadstartError(
            f"{view!r} is no view that a folder alone opens{nearest(view, OPENINGS)}; these are "
            f"{', '.join(OPENINGS)}, and the Export button of the studio takes every view as it stands"
        )
    place = (named(folder) or folder).resolve()
    if not place.is_dir():
        raise HeadstartError(f"there is no folder {folder}; give one that the view shows")
    app = create([place.parent], 0, Options(read_only=True)).app
    assert isinstance(app, FastAPI)
    studio = app.state.studio
    try:
        page = asyncio.run(_page(view, Opening(app, studio, place.name)))
    finally:
        studio.worker.close()
    with atomic(file) as temporary:
        temporary.write_text(page, encoding="utf-8")


async def _page(view: str, look: Opening) -> str:
    await OPENINGS[view](look)
    asked = with_reach(look.studio, view, look.asked)
    return await export.page(look.app, look.studio, view, f"#{view}?at={look.at}", asked)
