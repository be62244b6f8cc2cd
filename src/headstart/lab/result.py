"""What an experiment leaves: `claims/<id>/result.json`, typed, from which page and studio read everything."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.folder import read_json, write_json
from headstart.lab.claim import Experiment, Figure, jsonable
from headstart.lab.rules import Part, Verdict

VERSION = 1
CLAIMS = "claims"


class Result(TypedDict):
    """Everything that is known of one verdict."""

    format: str
    version: int
    claim: dict[str, Any]
    """Id, chapter, title, statement, quantity, lesson, scale, sources, confounders."""
    rule: str
    """In words."""
    level: str
    seeds: int
    registration: str
    registered: str
    rule_hash: str
    after_the_fact: str
    """Why the rule is younger than its runs; empty: it is older."""
    verdict: str
    reason: str
    because: str
    parts: list[dict[str, Any]]
    """For each effect: rule, verdict, mean, deviation, intervals, margin, smallest visible effect."""
    evidence: dict[str, list[Any]]
    """Name -> one value a seed."""
    runs: dict[str, list[str]]
    """Arm -> ids of its runs, by seed."""
    figures: list[dict[str, Any]]
    data: dict[str, Any]
    command: str
    made: str
    seconds: float
    core_seconds: float
    """Of its measures."""
    shared_core_seconds: float
    """Of the runs that it read, which other claims may have read too."""
    machine: str
    versions: dict[str, str]
    commit: str | None


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """A verdict as a result holds it."""
    return {
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "because": verdict.because,
        "parts": [_part(part) for part in verdict.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    return jsonable(asdict(part))


def claim_fields(experiment: Experiment) -> dict[str, Any]:
    """What a result says of its claim."""
    return jsonable(experiment.claim) | {"own": experiment.own}


def figure_fields(figures: Any) -> list[dict[str, Any]]:
    """Pictures as data."""
    return [jsonable(figure) for figure in figures if isinstance(figure, Figure)]


def result_file(folder: Path, claim: str) -> Path:
    """Where the newest result of a claim lies."""
    return folder / CLAIMS / claim / "result.json"


def write_result(folder: Path, result: Result) -> Path:
    """Write a result; one of another registration before it stays beside it."""
    file = result_file(folder, result["claim"]["id"])
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        before = read_json(file, Result)
        if before["registration"] != result["registration"]:
            file.replace(file.with_name(f"earlier-{before['registration'][:8]}.json"))
    write_json(file, result)
    return file


def read_results(folder: Path) -> list[Result]:
    """The newest result of every claim, in the order of their ids."""
    return [read_json(file, Result) for file in sorted((folder / CLAIMS).glob("*/result.json"))]
