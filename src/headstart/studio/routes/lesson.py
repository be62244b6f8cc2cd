"""The lesson: what was measured of its claims. Its tours steer the other views by their addresses."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel

from headstart.studio.verdicts import verdicts

router = APIRouter()


class VerdictAnswer(BaseModel):
    """A claim of the lesson, and what the laboratory measured."""

    claim: str
    title: str
    verdict: str
    reason: str
    because: str
    lesson: str
    stale: bool


@router.get("/verdicts")
def found() -> list[VerdictAnswer]:
    """Every claim that was measured."""
    return [VerdictAnswer(**asdict(one)) for one in verdicts()]
