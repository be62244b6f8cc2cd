"""What tests of a view's page share."""

import contextlib
import io
import time
from pathlib import Path

AXE = Path(__file__).parent.parent.parent / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 120_000  # milliseconds: a worker imports torch on a busy machine


def opened(page, address, view: str, ready: str) -> None:
    """Go to a view, as its address says, and wait for what it shows."""
    page.goto(f"{address[0]}/#{view}")
    page.wait_for_selector(ready, timeout=PATIENCE)


def until(page, true: str, seconds: float = 60) -> None:
    """Wait for an expression; playwright's own way evaluates strings, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(true):
        assert time.monotonic() < deadline, f"{true} did not come true"
        time.sleep(0.05)


def printed(page, part=None) -> str:
    """What the Python lines of a view, or of a part of it, print."""
    code = (page if part is None else part).locator("[data-python]").first.text_content()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "shown", "exec"), {})
    return out.getvalue().removesuffix("\n")
