"""How quick and how small the studio is: first view, key to token, tracing, memory.

A decoder of 1.6M parameters with random weights is shown in Generation, in a real Chromium. Times are
medians; the ratio of a traced forward pass to a plain one is of core-seconds, both taken in turns. Prints one
line of JSON at the end and writes it, indented, where --out says.
"""

import argparse
import gzip
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from headstart.folder import write_json
from headstart.interchange.model_folder import load_model, save_model
from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.studio.app import STATIC
from headstart.studio.looks.generation import trace
from headstart.tokenizer.train import TokenizerRecipe, train

ROOT = Path(__file__).parent.parent.parent
SIZES = {
    "layers": 4, "width": 160, "heads": 4, "kv_heads": 4, "feedforward_width": 448, "context": 256,
}  # fmt: skip
LENGTH = 128
PRESS = """() => new Promise((done) => {
  const tokens = () => document.querySelectorAll('.ribbon .token').length
  const before = tokens(), started = performance.now()
  const watch = new MutationObserver(() => {
    if (tokens() === before) return
    watch.disconnect()
    requestAnimationFrame(() => done(performance.now() - started))
  })
  watch.observe(document.querySelector('main'), {subtree: true, childList: true})
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'n', bubbles: true}))
})"""


def make_model(folder: Path) -> None:
    """A model folder with a tokenizer of the samples' words."""
    books = sorted((ROOT / "samples" / "books").glob("*.txt.gz"))
    texts = [gzip.decompress(book.read_bytes()).decode()[:60_000] for book in books]
    tokenizer = train(iter(texts), TokenizerRecipe(vocab_size=2048), folder / "tokenizer")
    model = build(make_config("headstart-decoder", SIZES | {"vocab_size": tokenizer.vocab_size}), 0)
    save_model(folder / "model", model, tokenizer, "causal", "Random weights.")


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    found = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*found, *(inner for one in found for inner in children(one))]


def tracing(folder: Path, rounds: int) -> dict[str, float]:
    """A traced forward pass beside a plain one, in core-seconds, in turns."""
    loaded = load_model(folder / "model")
    ids = torch.arange(LENGTH) % 500 + 10

    def seconds(work: Any) -> float:
        started = time.process_time()
        for _ in range(5):
            work()
        return (time.process_time() - started) / 5

    def plain() -> None:
        loaded.model.logits(loaded.model(ids[None]))

    with torch.no_grad():
        plain()
        trace(loaded, ids.tolist(), LENGTH)
        pairs = [
            (seconds(plain), seconds(lambda: trace(loaded, ids.tolist(), LENGTH))) for _ in range(rounds)
        ]
    return {
        "parameters": sum(weight.numel() for weight in loaded.model.parameters()),
        "plain_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "traced_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
    }


def first_view(page: Page, address: str) -> dict[str, float]:
    """Home as a browser that was never here meets it."""
    fetched: list[str] = []
    page.on("response", lambda answer: fetched.append(answer.url.split("?")[0].rpartition("/assets/")[2]))
    page.goto(address)
    page.wait_for_selector(".groups li")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assets = [STATIC / "assets" / name for name in sorted(set(fetched)) if name]
    files = [STATIC / "index.html", *assets]
    return {"paint_ms": paint, "gzip_bytes": sum(len(gzip.compress(file.read_bytes())) for file in files)}


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_model(folder)
        found: dict[str, Any] = {"trace": tracing(folder, given.rounds)}
        command = [sys.executable, "-m", "headstart", "studio", str(folder), "--no-browser"]
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            assert server.stdout is not None
            told = re.search(r"http://\S+", server.stdout.readline())
            assert told, "the studio did not start"
            found["server_bytes"] = memory(server.pid)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                found["first_view"] = first_view(page, told[0])
                page.goto(f"{told[0].split('?')[0]}#generation?at=model")
                page.wait_for_selector(".ribbon .next", timeout=180_000)
                times = [page.evaluate(PRESS) for _ in range(12)]
                found["key_to_token_ms"] = statistics.median(times)
                found["elements"] = page.evaluate("document.querySelectorAll('*').length")
                found["page_bytes"] = page.evaluate("performance.memory.usedJSHeapSize")
                found["worker_bytes"] = max(map(memory, children(server.pid)), default=0)
                browser.close()
        finally:
            server.terminate()
            server.wait(20)
    found |= {"processor": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
    write_json(given.out, found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
