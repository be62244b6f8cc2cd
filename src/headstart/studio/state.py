"""What the routes share: the folders, the worker, the jobs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from headstart.errors import HeadstartError
from headstart.studio.chat_server import ChatServer
from headstart.studio.folders import Folders
from headstart.studio.frames import MEDIA_TYPE
from headstart.studio.jobs import Jobs
from headstart.studio.worker import Worker


@dataclass
class Studio:
    """One running studio."""

    folders: Folders
    worker: Worker
    jobs: Jobs
    chat: ChatServer
    read_only: bool

    def may_change(self, path: Path | None = None) -> None:
        """Refuse what changes something where the studio was started to look only, or a folder (`path`) that
        came with headstart."""
        if self.read_only:
            raise HeadstartError("this studio was started with --read-only; start it without to change runs")
        if path is not None and self.folders.sample is not None and path.is_relative_to(self.folders.sample):
            raise HeadstartError(
                f"{path.name} belongs to the sample, which is only to be read; a job makes a folder of yours"
            )

    def run_folder(self, at: str) -> Path:
        """A folder with `metrics.jsonl`, or a run that has not yet written any."""
        found = self.folders.find(at)
        if not any((found / name).exists() for name in ("metrics.jsonl", "run.json")):
            raise HeadstartError(
                f"{at} is no run: it has no metrics.jsonl; choose a folder of `headstart pretrain`"
            )
        return found


def _studio(request: Request) -> Studio:
    """The one of the application; an export's own requests bring one that changes nothing."""
    found: Studio = request.scope.get("studio", request.app.state.studio)
    return found


StudioState = Annotated[Studio, Depends(_studio)]


def frame(content: bytes) -> Response:
    """The answer that holds a frame."""
    return Response(content, media_type=MEDIA_TYPE)
