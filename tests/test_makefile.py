"""`make help` names the goals that there are."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_help_lists_every_goal_and_no_other() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    listed = set()
    for line in done.stdout.splitlines():
        goals = re.match(r"make ((?:[a-z][\w-]*(?: \| )?)+)", line)
        listed |= set(goals[1].split(" | ")) if goals else set()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    goals_there = set(re.findall(r"^([a-z][\w-]*):(?! OUT)", makefile, re.MULTILINE))
    assert listed <= goals_there
    assert set(phony.split()) <= listed
