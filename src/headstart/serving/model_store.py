"""The models of a server by name: read when they are first asked for, put away when others need the room."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic

from headstart.errors import HeadstartError, nearest
from headstart.generation.cpu_decoder import make_decoder
from headstart.generation.engine.engine import Engine
from headstart.generation.engine.scheduler import EngineSettings, StepReport
from headstart.interchange import box
from headstart.serving.metrics import Metrics
from headstart.serving.request_error import LONGEST_NAME, RequestError, unfit
from headstart.serving.served_model import (
    COMPLETIONS,
    Description,
    ServedModel,
    TransformerModel,
    describe,
    read,
    wrong_task,
)
from headstart.serving.settings import ServeSettings
from headstart.serving.task_worker import TaskWorker

log = logging.getLogger("headstart.serving")


@dataclass(eq=False)
class Resident:
    """A model in memory with the threads that answer for it."""

    model: ServedModel
    worker: TaskWorker
    engine: Engine | None
    """Of a model that writes."""
    users: int = 0
    """Requests that it is answering."""
    used: float = 0.0
    """When it last answered."""

    @property
    def kernel(self) -> str | None:
        """What computes its texts: compiled rows or the model itself; None: it writes none."""
        return None if self.engine is None else type(self.engine.scheduler.backend).__name__

    @property
    def stuck_seconds(self) -> float:
        """For how long work has waited without anything being done."""
        return max(self.worker.stuck_seconds, self.engine.stuck_seconds if self.engine else 0.0)

    @property
    def failed(self) -> bool:
        """Whether a thread of it has ended by a fault."""
        return self.worker.failed or (self.engine is not None and self.engine.failed is not None)

    def close(self) -> None:
        """End its threads; what they had not answered is told so."""
        self.worker.close()
        if self.engine is not None:
            self.engine.close()


class ModelStore:
    """Models by name. Used from one event loop alone."""

    def __init__(self, folders: Mapping[str, Path], settings: ServeSettings, metrics: Metrics) -> None:
        """
        Raises:
            HeadstartError: a folder holds no model that answers, or one alone is larger than all may be.
        """
        self.settings, self.metrics = settings, metrics
        self.descriptions: dict[str, Description] = {
            name: describe(name, folder, settings.precision) for name, folder in folders.items()
        }
        self.residents: dict[str, Resident] = {}
        self.added: set[str] = set()
        """Names that came while the server answered, and may go again."""
        self.loading = 0
        self._earlier = Counter[str]()
        """What engines counted that are no more."""
        self._turn = Lock()
        self._one_load = asyncio.Lock()
        self._released = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._measure()
        for one in self.descriptions.values():
            self._check_size(one)

    def _check_size(self, described: Description) -> None:
        most = self.settings.model_bytes
        if most is not None and described.bytes > most:
            raise HeadstartError(
                f"{described.name} takes about {described.bytes:,} bytes, more than all models may "
                f"(--model-bytes {most:,}); raise that, or leave the model out"
            )

    async def add(self, name: str, folder: Path) -> None:
        """Serve one more model, and load it.

        Raises:
            RequestError: the name is taken, or it cannot be read, or there is no room for it.
        """
        try:
            described = await asyncio.to_thread(describe, name, folder, self.settings.precision)
            self._check_size(described)
        except HeadstartError as error:
            raise unfit(error, "model") from None
        if name in self.descriptions or name in self.residents:
            raise RequestError(
                409, "already_served", f"{name!r} is served already, or still answers", "model"
            )
        self.descriptions[name] = described
        self.added.add(name)
        try:
            async with self.use(name):
                pass
        except BaseException:
            if self.descriptions.get(name) is described:
                self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Take no more requests for a model that was added; it is put away once it has answered the others.

        Raises:
            RequestError: there is no such model, or it was served from the start.
        """
        if name not in self.descriptions:
            raise no_such_model(name, self.added)
        if name not in self.added:
            raise RequestError(
                400,
                "unsupported_value",
                f"{name!r} is served since the start, and stays until the end",
                "model",
            )
        self.added.discard(name)
        del self.descriptions[name]
        self._leave(name)

    def _leave(self, name: str) -> None:
        """Put a model away that is served no more, if nobody uses it."""
        resident = self.residents.get(name)
        if resident is not None and not resident.users and name not in self.descriptions:
            del self.residents[name]  # at once, so that nobody takes it up who waited for it
            task = asyncio.create_task(self._put_away(name, resident))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _put_away(self, name: str, resident: Resident) -> None:
        """End the threads of a model that nobody finds any more; what its engine has counted stays."""
        await asyncio.to_thread(resident.close)
        if resident.engine is not None:
            counters = resident.engine.counters
            self._earlier.update(queries=counters.prefix_queries, hits=counters.prefix_hits)
        log.info("put away %s", name)

    def resolve(self, name: str | None, route: str) -> Description:
        """The model that a request means.

        Raises:
            RequestError: there is none of that name, several could be meant, or it does not answer the route.
        """
        if name is None:
            fitting = [one for one in self.descriptions.values() if route in one.routes]
            if len(fitting) == 1:
                return fitting[0]
            if len(self.descriptions) == 1:
                raise wrong_task(next(iter(self.descriptions.values())), route)
            if not fitting:
                raise RequestError(
                    400,
                    "wrong_task",
                    f"none of the served models answers {route}; GET /v1/models has the routes of each",
                    "model",
                )
            known = ", ".join(repr(one.name) for one in fitting)
            raise RequestError(400, "missing_field", f"say which model is meant: {known}", "model")
        found = self.descriptions.get(name)
        if found is None:
            raise no_such_model(name, self.descriptions)
        if route not in found.routes:
            raise wrong_task(found, route)
        return found

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Resident]:
        """The model in memory, which stays there meanwhile.

        Raises:
            RequestError: there is no room for it, or it cannot be read.
        """
        resident = self.residents.get(name) or await self._load(name)
        resident.users += 1
        try:
            yield resident
        finally:
            resident.users -= 1
            resident.used = monotonic()
            self._released.set()
            self._leave(name)

    @property
    def bytes(self) -> int:
        """What the models in memory take."""
        return sum(one.model.bytes for one in self.residents.values())

    @property
    def failed(self) -> bool:
        """Whether a thread of some model has ended by a fault."""
        return any(one.failed for one in self.residents.values())

    @property
    def stuck_seconds(self) -> float:
        """The longest that work of some model has waited without anything being done."""
        return max((one.stuck_seconds for one in self.residents.values()), default=0.0)

    def _measure(self) -> None:
        """Figures that are read when they are asked for."""

        def engines() -> list[Engine]:
            return [one.engine for one in self.residents.values() if one.engine is not None]

        def counted(name: str) -> float:
            now = sum(getattr(one.counters, f"prefix_{name}") for one in engines())
            return now + self._earlier[name]

        def jobs(running: bool) -> int:
            every = [job for one in self.residents.values() for job in list(one.worker.jobs)]
            return sum((job.started is not None) == running for job in every)

        add, metrics = self.metrics.gauge, self.metrics
        add("num_requests_running", "Requests that are being answered.",
            lambda: sum(one.running for one in engines()) + jobs(True))  # fmt: skip
        add("num_requests_waiting", "Requests whose work has not begun.",
            lambda: sum(one.waiting for one in engines()) + jobs(False))  # fmt: skip
        add("kv_cache_usage_perc", "The share of the caches that texts have, 0 to 1, the fullest model's.",
            lambda: max((one.cache_use for one in engines()), default=0.0))  # fmt: skip
        add("model_bytes", "What the models in memory take.", lambda: self.bytes)
        for name in ("queries", "hits"):
            metrics.count(f"prefix_cache_{name}", f"Prompt tokens: {name} of the cache of prefixes.",
                          partial(counted, name))  # fmt: skip

    async def close(self) -> None:
        """End all threads."""
        for resident in list(self.residents.values()):
            await asyncio.to_thread(resident.close)
        self.residents.clear()

    async def _load(self, name: str) -> Resident:
        self.loading += 1
        try:
            async with self._one_load:
                if name in self.residents:
                    return self.residents[name]
                described = self.descriptions.get(name)
                if described is None:  # it went while this request waited
                    raise no_such_model(name, self.descriptions)
                await self._make_room(described.bytes)
                try:
                    resident = await asyncio.to_thread(self._read, described)
                except HeadstartError as error:
                    log.error("%s cannot be read: %s", name, error)
                    raise RequestError(
                        500, "model_broken", f"{name!r} cannot be read; the log says why"
                    ) from None
                self.residents[name] = resident
                return resident
        finally:
            self.loading -= 1

    async def _make_room(self, needed: int) -> None:
        """Put away the longest unused until so many bytes fit; wait for one where all are in use."""
        most = self.settings.model_bytes
        deadline = monotonic() + self.settings.limits.queue_seconds
        while most is not None and self.residents and self.bytes + needed > most:
            idle = [name for name, one in self.residents.items() if not one.users]
            if idle:
                longest = min(idle, key=lambda name: self.residents[name].used)
                await self._put_away(longest, self.residents.pop(longest))
                continue
            self._released.clear()
            try:
                await asyncio.wait_for(self._released.wait(), max(0.0, deadline - monotonic()))
            except TimeoutError:
                raise RequestError(
                    503, "loading", "there is no room for the model while others answer; try again"
                ) from None

    def _read(self, description: Description) -> Resident:
        """The model with its threads."""
        model = read(description, self.settings.precision)
        worker = TaskWorker(model, self._turn, self.settings.limits, self.metrics)
        engine = None
        if COMPLETIONS in description.routes:
            assert isinstance(model, TransformerModel)
            engine = self._engine(model)
        return Resident(model, worker, engine, used=monotonic())

    def _engine(self, model: TransformerModel) -> Engine:
        transformer = model.model.loaded.model
        settings = EngineSettings(cache_bytes=self.settings.cache_bytes, queue=None)  # `Writer` has the limit
        return Engine(transformer, make_decoder(transformer), settings, partial(_observe, self.metrics))


def no_such_model(name: str, known: Iterable[str]) -> RequestError:
    """A name that nothing is served under."""
    shown = name[:LONGEST_NAME]
    hint = nearest(shown, known)
    return RequestError(404, "model_not_found", f"there is no model {shown!r} here{hint}", "model")


def _observe(metrics: Metrics, step: StepReport) -> None:
    metrics.step_seconds.labels(kind="text").observe(step.seconds)
    metrics.step_rows.labels(kind="text").observe(step.rows)


def named_folders(folders: list[Path], named: list[str]) -> dict[str, Path]:
    """The models of a server by name: `FOLDER` under its own name, `NAME=FOLDER` under that one. A folder may
    be the name of a model that comes with headstart.

    Raises:
        HeadstartError: two of one name, or none at all.
    """
    pairs = [(folder_name(folder), folder) for folder in folders]
    for one in named:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise HeadstartError(
                f"--model {one} names no model; write it as NAME=FOLDER, as in spam=runs/spam"
            )
        pairs.append((name, Path(path)))
    if not pairs:
        raise HeadstartError("there is nothing to serve; give a model folder, or --model NAME=FOLDER")
    found: dict[str, Path] = {}
    for name, folder in pairs:
        if name in found:
            raise HeadstartError(
                f"two models would be called {name!r}, {found[name]} and {folder}; name them with "
                "--model NAME=FOLDER"
            )
        found[name] = box.named(folder) or folder
    return found


def folder_name(folder: Path) -> str:
    """What a folder is called: a run's own name, also where its `model/` is given."""
    whole = folder.absolute()
    return whole.parent.name if whole.name == "model" else whole.name
