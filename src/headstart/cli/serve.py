"""`headstart serve`: models behind HTTP."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def serve(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Model or run folders; each is served under its own name.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME=FOLDER", help="A model and its name; may be given several times."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any free port.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HEADSTART_API_KEY", help="Require this key, sent as Authorization: Bearer KEY."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines reach the server without a key.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="An allowed name in the header Host, beside this machine's own; * for any."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="A web page whose scripts may use the server, such as https://example.org."),
    ] = None,
    unknown_fields: Annotated[
        str, typer.Option(help="Unknown fields of a request: refuse, or ignore and list them in a header.")
    ] = "refuse",
    access_log: Annotated[
        bool, typer.Option("--access-log/--no-access-log", help="One JSON line a request, without its text.")
    ] = True,
    log_requests: Annotated[
        Path | None,
        typer.Option(
            "--log-requests",
            metavar="FILE",
            help="Append every request and its answer to this file, with their text.",
        ),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds that requests in progress may take after SIGTERM.")
    ] = 30.0,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    model_bytes: Annotated[
        str | None,
        typer.Option(help="Memory for models, such as 8GB; models unused for longest are unloaded."),
    ] = None,
    cache_bytes: Annotated[
        str | None,
        typer.Option(
            help="Key-value cache of each generating model; default a quarter of free memory, at most 4GiB."
        ),
    ] = None,
    adapters: Annotated[
        Path | None,
        typer.Option(help="Let requests to /v1/adapters add and remove adapters of this folder."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Keep files and batches in this folder, for /v1/files and /v1/batches."),
    ] = None,
    end_with_stdin: Annotated[
        bool,
        typer.Option(
            "--end-with-stdin",
            help="End when standard input is closed, as when the program that started this is gone.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Load, send one request of each kind, print the answers, and end.")
    ] = False,
) -> None:
    """Serve models of every kind over HTTP: tasks, embeddings, completions and chat.

    The routes are OpenAI's, if OpenAI has one, and /v1/classify, tag, answer, choose, fill-mask, rerank and
    predict. GET /openapi.json describes all of them.
    """
    from headstart.errors import HeadstartError, nearest
    from headstart.scaling.units import read_quantity
    from headstart.training.machine import dtype_named

    try:
        from headstart.serving.app import Application
        from headstart.serving.http_server import end_with_input
        from headstart.serving.http_server import serve as serve_http
        from headstart.serving.model_store import named_folders
        from headstart.serving.self_check import self_check
        from headstart.serving.settings import ServeSettings
    except ModuleNotFoundError as error:
        raise HeadstartError(
            f"serving needs {error.name}; install it with pip install 'headstart[serve]'"
        ) from None

    if unknown_fields not in ("refuse", "ignore"):
        hint = nearest(unknown_fields, ("refuse", "ignore"))
        raise HeadstartError(f"--unknown-fields {unknown_fields} is not possible{hint}")
    settings = ServeSettings(
        host=host,
        port=port,
        api_key=api_key,
        insecure=insecure,
        allowed_hosts=tuple(allowed_host or ()),
        cors_origins=tuple(cors_origin or ()),
        ignore_unknown_fields=unknown_fields == "ignore",
        access_log=access_log and not check,
        log_requests=None if check else log_requests,
        drain_seconds=drain,
        precision=str(dtype_named(precision)).removeprefix("torch."),
        model_bytes=None if model_bytes is None else int(read_quantity(model_bytes, "bytes")),
        cache_bytes=None if cache_bytes is None else int(read_quantity(cache_bytes, "bytes")),
        adapters=adapters,
        state=None if check else state,
    )
    application = Application(named_folders(folders or [], model or []), settings)
    if check:
        asyncio.run(self_check(application, typer.echo))
        return
    if end_with_stdin:
        end_with_input()
    serve_http(application)
