"""Commands that are started from the browser."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.studio.jobs import Job
from headstart.studio.state import Studio, StudioState

router = APIRouter()


class JobAnswer(BaseModel):
    """A job, and whether it is at work."""

    id: str
    verb: str
    command: str
    out: str
    started: float
    running: bool


# Options and settings whose values are paths: they have to lie in the studio's folders.
PATHS = ("tokens", "data", "corpus", "tokenizer", "test", "start")


class NewJob(BaseModel):
    """A command to start: settings as on the command line, `key=value`, and options."""

    verb: str
    model: str | None = None
    """The model that a fine-tuning or an evaluation begins with, as an address."""
    recipe: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    """Of a sweep: the name of a recipe that comes with headstart."""
    out: str = Field(min_length=1, max_length=200)
    """Where it writes, relative to the studio's first folder."""
    options: dict[str, str] = {}
    """Without their dashes: `{"minutes": "3"}`."""
    settings: dict[str, str] = {}


class Log(BaseModel):
    """The end of what a job printed."""

    text: str


@router.get("/jobs")
def jobs(studio: StudioState) -> list[JobAnswer]:
    """All jobs, the newest first."""
    return [_answer(studio, job) for job in studio.jobs.all()]


@router.post("/jobs")
def start(studio: StudioState, asked: NewJob) -> JobAnswer:
    """Start a job."""
    studio.may_change()
    root = studio.folders.roots[0]
    out = (root / asked.out).resolve()
    if not out.is_relative_to(root) or out == root:
        raise HeadstartError(f"{asked.out} lies outside of the studio's folder; choose a name inside it")
    names = [*asked.options, *asked.settings]
    if not all(name.replace("-", "").replace("_", "").replace(".", "").isalnum() for name in names):
        raise HeadstartError("an option has a name of letters, digits, dashes, dots")

    def value_of(name: str, value: str) -> str:
        is_path = name in PATHS or (name == "labels" and asked.verb == "quickstart")  # elsewhere a number
        return str(studio.folders.find(value)) if is_path else value

    arguments = [] if asked.model is None else [str(studio.folders.find(asked.model))]
    arguments += [] if asked.recipe is None else [asked.recipe]
    arguments += [f"--{name}={value_of(name, value)}" for name, value in asked.options.items()]
    arguments += [f"{name}={value_of(name, value)}" for name, value in asked.settings.items()]
    return _answer(studio, studio.jobs.start(asked.verb, [*arguments, "--out", str(out)], asked.out))


@router.post("/jobs/{identity}/stop")
def stop(studio: StudioState, identity: str) -> JobAnswer:
    """Ask a job to save and end."""
    studio.may_change()
    job = studio.jobs.find(identity)
    studio.jobs.stop(job)
    return _answer(studio, job)


@router.post("/jobs/{identity}/resume")
def resume(studio: StudioState, identity: str) -> JobAnswer:
    """Start the same command again: it goes on where it stopped."""
    studio.may_change()
    job = studio.jobs.find(identity)
    return _answer(studio, studio.jobs.start(job.verb, job.arguments, job.out))


@router.get("/jobs/{identity}/log")
def log(studio: StudioState, identity: str) -> Log:
    """The end of what a job has printed."""
    return Log(text=studio.jobs.log(studio.jobs.find(identity)))


def _answer(studio: Studio, job: Job) -> JobAnswer:
    return JobAnswer(
        id=job.id, verb=job.verb, command=" ".join(["headstart", job.verb, *job.arguments]), out=job.out,
        started=job.started, running=studio.jobs.running(job),
    )  # fmt: skip
