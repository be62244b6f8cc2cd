"""Replicas of the server on a Ray cluster: each is the ASGI application itself, so tokens cross no actor.

    serve run headstart.serving.ray_app:deployment models=spam=/shared/spam,names=/shared/names replicas=4

Folders have to be where every node reads them. Ray's proxy stands in front, at 127.0.0.1:8000 unless it is
told otherwise: connections, headers and the end of a replica are its matter.
"""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve

from headstart.serving.app import Application
from headstart.serving.model_store import named_folders
from headstart.serving.settings import ServeSettings


class RayArguments(BaseModel):
    """What `serve run` is told."""

    model_config = ConfigDict(extra="forbid")
    models: str
    """`NAME=FOLDER`, several with commas between."""
    replicas: int = 1
    cpus: float = 1
    """Of each replica."""
    precision: str = "float32"
    host: str = "127.0.0.1"
    """By which name others reach Ray's proxy; then a key has to be asked for."""
    drain: float = 30
    """Seconds that begun requests may take once a replica is told to end."""


def deployment(arguments: RayArguments) -> Any:
    """The deployment, for `serve run` and `ray.serve.run`. It asks for the key in `HEADSTART_API_KEY`.

    Raises:
        HeadstartError: two models of one name, or a host that others reach without a key.
    """
    folders = named_folders([], arguments.models.split(","))
    settings = ServeSettings(
        host=arguments.host,
        api_key=os.environ.get("HEADSTART_API_KEY") or None,
        precision=arguments.precision,
    )

    def application() -> Application:
        """In the replica's process: models are read there."""
        return Application(folders, settings)

    @serve.ingress(application)
    class Replica:
        app: Application

        async def check_health(self) -> None:
            """Asked before the replica gets its first request, and then every some seconds."""
            await self.app.preload()
            if self.app.service.store.failed:
                raise RuntimeError("a thread of a model ended by a fault")

    return serve.deployment(
        Replica,
        name="headstart",
        num_replicas=arguments.replicas,
        max_ongoing_requests=settings.limits.connections,
        graceful_shutdown_timeout_s=arguments.drain,
        ray_actor_options={"num_cpus": arguments.cpus},
    ).bind()
