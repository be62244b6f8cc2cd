"""What the laboratory found of the lesson's claims: the index of its results that comes with headstart."""

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from headstart.folder import read_json

HERE = Path(__file__).parent
PLACES = (HERE / "verdicts.json", HERE.parents[2] / "lab" / "index.json")
"""In a wheel, and in a clone."""


class _Row(TypedDict):
    """As the laboratory writes it."""

    id: str
    title: str
    verdict: str
    reason: str
    because: str
    lesson: str
    stale: bool


@dataclass(frozen=True)
class Verdict:
    """A claim, and what an experiment said of it."""

    claim: str
    title: str
    verdict: str
    """supported, not-supported, contradicted."""
    reason: str
    because: str
    """The measured values that the verdict follows from."""
    lesson: str
    """What the lesson says otherwise than it was measured; empty: nothing."""
    stale: bool
    """Whether the claim's rule has changed since."""


def verdicts() -> list[Verdict]:
    """Every claim that was measured, in the laboratory's order.

    Raises:
        HeadstartError: the index is damaged.
    """
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        return []
    return [
        Verdict(
            claim=one["id"], title=one["title"], verdict=one["verdict"], reason=one["reason"],
            because=one["because"], lesson=one["lesson"], stale=one["stale"],
        )
        for one in read_json(found, list[_Row])
    ]  # fmt: skip
