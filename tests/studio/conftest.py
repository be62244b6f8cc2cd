"""A tiny run with everything that a studio shows, and a studio over it."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PORT = 8123
ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "src" / "headstart" / "studio" / "static" / "index.html"


@pytest.fixture(scope="session")
def studio_root(tokens, tmp_path_factory) -> Path:
    """A folder with tokens and a finished run of a tiny decoder: snapshots, captures, statistics, samples."""
    from headstart.training import run_folder
    from headstart.training.loop import pretrain
    from headstart.training.recipe import PretrainRecipe

    root = tmp_path_factory.mktemp("studio")
    shutil.copytree(tokens, root / "tokens")
    settings = {
        "tokens": root / "tokens", "objective": {"kind": "causal"}, "context": 32, "rows": 4, "steps": 8,
        "evaluate_every": 4, "evaluate_rows": 8, "checkpoint_every": 4, "snapshots": 4, "capture_every": 4,
        "statistics_every": 4, "sinks": [],
        "model": {
            "family": "headstart-decoder", "layers": 2, "width": 32, "heads": 4, "feedforward_width": 48,
        },
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "describe_machine", lambda: {})
        pretrain(PretrainRecipe.model_validate(settings), root / "run")
    return root


@pytest.fixture(scope="session")
def masked_run(studio_root) -> Path:
    """A finished run of a tiny encoder beside it, in `masked`."""
    from headstart.training import run_folder
    from headstart.training.loop import pretrain
    from headstart.training.recipe import PretrainRecipe

    settings = {
        "tokens": studio_root / "tokens", "objective": {"kind": "masked"}, "context": 64, "rows": 4,
        "steps": 6, "evaluate_every": 6, "evaluate_rows": 4, "checkpoint_every": 6, "snapshots": 3,
        "sinks": [],
        "model": {
            "family": "headstart-encoder", "layers": 2, "width": 32, "heads": 4, "feedforward_width": 48,
        },
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "describe_machine", lambda: {})
        pretrain(PretrainRecipe.model_validate(settings), studio_root / "masked")
    return studio_root / "masked"


@pytest.fixture(scope="session")
def corpus_root(studio_root, documents, tokenizer) -> Path:
    """The same folder with raw rows, a corpus of them with every kind of loss, and its tokens."""
    import json

    from headstart.corpus import CorpusRecipe, build
    from headstart.tokenizer.shards import ShardRecipe, encode_corpus

    rows = [{**row, "id": f"{row['id']}.{place}"} for place, row in enumerate(documents)]
    rows += [{**row, "id": f"again-{row['id']}"} for row in rows[::29]]
    rows += [
        {**row, "id": f"near-{row['id']}", "text": row["text"] + " And so it was."} for row in rows[:90:9]
    ]
    rows += [{"id": "short", "text": "Too short a text.", "domain": "austen"}]
    rows += [{"id": "<script>alert(1)</script>", "text": "<b>bold</b> & so on", "domain": "austen"}]
    rows += [{"id": f"list-{n}", "text": "one two three\n" * 40, "domain": "milton"} for n in range(4)]
    raw = studio_root / "raw.jsonl"
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = ["languages=any", "mix.shares={austen: 2, milton: 2, shakespeare: 1}", "repeated_substrings=30"]
    build([raw], studio_root / "corpus", CorpusRecipe.load(None, given), workers=0)
    settings = ShardRecipe(heldout_share=0.1, heldout_overlap=1, count_stages=True)
    encode_corpus(studio_root / "corpus", tokenizer, settings, studio_root / "corpus-tokens")
    return studio_root


@pytest.fixture(scope="session")
def labelled_root(studio_root, masked_run) -> Path:
    """The same folder with labelled texts in `labels`, hostile ones among them, and a model fine-tuned on
    these in `places`."""
    import json

    from headstart.tasks.finetuning import finetune_run
    from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe

    sea, home = ("ship", "harbour", "wave", "sailor"), ("kitchen", "garden", "window", "table")
    rows = []
    for number in range(90):
        words, label = (sea, "sea") if number % 2 else (home, "<b>home</b>")
        text = f"The {words[number % 4]} and the {words[number // 4 % 4]} of number {number}."
        if number % 9 == 0:
            text += " <script>alert(1)</script> <img src=x onerror=alert(2)>"
        rows.append({"text": text, "label": label, "domain": ("prose", "<i>verse</i>")[number // 2 % 2]})
    data = studio_root / "labels" / "places.jsonl"
    data.parent.mkdir(exist_ok=True)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = FinetuneRecipe(
        min_steps=40, max_steps=40, max_tokens=48, learning_rate=4e-3, counted_words="none"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_run, "describe_machine", lambda: {})
        finetune_run.finetune_run(masked_run, data, studio_root / "places", recipe)
    return studio_root


@pytest.fixture(scope="session")
def talker(studio_root) -> Path:
    """A model of the decoder of that folder, fine-tuned on conversations, in `talker`."""
    import json

    from headstart.tasks.finetuning import finetune_run
    from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe

    talks = studio_root / "talks.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Number {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
        for n in range(30)
    ]
    talks.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = FinetuneRecipe(min_steps=4, max_steps=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_run, "describe_machine", lambda: {})
        finetune_run.finetune_run(studio_root / "run", talks, studio_root / "talker", recipe, kind="chat")
    return studio_root / "talker"


@pytest.fixture(scope="session")
def studio(studio_root):
    """A client of a studio over that folder, with its token; the worker process is shared by all tests."""
    from starlette.testclient import TestClient

    from headstart.studio.app import create

    guard = create([studio_root], PORT)
    headers = {"authorization": f"Bearer {guard.token}"}
    with TestClient(guard, base_url=f"http://127.0.0.1:{PORT}", headers=headers) as client:
        client.guard = guard
        yield client


@pytest.fixture
def sweep(studio_root):
    """A sweep of which the design stands and two runs are trained; removed again."""
    from sweep_folder import design, train

    folder = studio_root / "sweep"
    runs = design(folder)
    for run in runs[:2]:
        train(folder, "grid", run)
    yield folder, runs
    shutil.rmtree(folder)


@pytest.fixture
def plain(studio):
    """A client of the same studio that says nothing of itself."""
    from starlette.testclient import TestClient

    return TestClient(studio.guard, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


def missing() -> str | None:
    """What the browser tests lack."""
    if not PAGES.exists():
        return "the studio's pages are not built: make web"
    if chromium() is None:
        return "there is no Chromium: apt install chromium"
    return None


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def listening(root: Path) -> Iterator[tuple[str, str]]:
    """A studio over a folder, that listens: its address, and its token."""
    if (reason := missing()) is not None:
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    import uvicorn

    from headstart.studio.app import create

    listens = socket.socket()
    listens.bind(("127.0.0.1", 0))
    port = listens.getsockname()[1]
    app = create([root], port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}", app.token
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def address(corpus_root, labelled_root, talker):
    """A studio over the folder of all tests."""
    with listening(corpus_root) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that has entered; its errors, and its requests to elsewhere, fail the test."""
    base, token = address
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((base, "data:")) else troubles.append(asked.url)
    )
    page.goto(f"{base}/?token={token}")
    yield page
    context.close()
    assert troubles == []
