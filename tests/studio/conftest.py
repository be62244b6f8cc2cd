"""A tiny run with everything that a studio shows, and a studio over it."""

import shutil
from pathlib import Path

import pytest

PORT = 8123


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
def plain(studio):
    """A client of the same studio that says nothing of itself."""
    from starlette.testclient import TestClient

    return TestClient(studio.guard, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
