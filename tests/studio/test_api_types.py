"""The pages' types of the server's answers are those of the server."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_types_are_fresh() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "api-types"))
    assert tool["OUT"].read_text(encoding="utf-8") == tool["written"](), "run tools/api-types"
