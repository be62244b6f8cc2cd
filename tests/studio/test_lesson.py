"""The lesson's verdicts; and the sample, which is shown apart from the user's own, and only read."""

import json
import shutil
from pathlib import Path

import pytest

from headstart.errors import HeadstartError
from headstart.studio import app
from headstart.studio.folders import Absent, Folders
from headstart.studio.verdicts import verdicts

API = "/api/v1"
ROOT = Path(__file__).parent.parent.parent
PORT = 8124


def test_the_verdicts_are_the_laboratorys(studio) -> None:
    index = json.loads((ROOT / "lab" / "index.json").read_text(encoding="utf-8"))
    shown = studio.get(f"{API}/verdicts").json()
    assert [(one["claim"], one["verdict"], one["because"]) for one in shown] == [
        (one["id"], one["verdict"], one["because"]) for one in index
    ]
    assert len(verdicts()) == len(index) > 0


@pytest.fixture
def sample(studio_root, tmp_path, monkeypatch) -> Path:
    """A sample made of the tests' own run and tokens; the recipe names its tokens as the sample's does."""
    made = tmp_path / "made"
    for name in ("run", "tokens"):
        shutil.copytree(studio_root / name, made / name)
    recipe = made / "run" / "recipe.yaml"
    lines = recipe.read_text(encoding="utf-8").splitlines(keepends=True)
    recipe.write_text("".join("tokens: tokens\n" if line.startswith("tokens:") else line for line in lines))
    monkeypatch.setattr(app, "SAMPLE", made)
    return made


@pytest.fixture
def client(sample, tmp_path):
    """A studio over a folder that has nothing."""
    from starlette.testclient import TestClient

    (tmp_path / "mine").mkdir()
    guard = app.create([tmp_path / "mine"], PORT)
    headers = {"authorization": f"Bearer {guard.token}"}
    with TestClient(guard, base_url=f"http://127.0.0.1:{PORT}", headers=headers) as made:
        yield made


def test_the_sample_stands_behind_everything_else(client, sample, studio_root, tmp_path) -> None:
    shutil.copytree(studio_root / "run", tmp_path / "mine" / "run")
    listed = [one["at"] for one in client.get(f"{API}/folders").json()]
    assert listed[0] == "run"
    assert set(listed[-2:]) == {"sample:run", "sample:tokens"}
    assert client.get(f"{API}/status").json()["given"]["sample"] == str(sample)


def test_a_run_of_the_sample_knows_its_tokens_wherever_it_lies(client) -> None:
    found = client.get(f"{API}/sentences", params={"at": "sample:run"}).json()
    assert found["tokens"] == "sample:tokens"


def test_the_sample_is_only_read(client, sample) -> None:
    answer = client.post(f"{API}/control", json={"at": "sample:run", "action": "pause"})
    assert answer.status_code == 400
    assert "only to be read" in answer.json()["error"]["message"]
    assert not (sample / "run" / "control.json").exists()


@pytest.mark.parametrize("at", ["sample:../mine", "sample:/etc", "sample:run/../..", "7:run", "sample:none"])
def test_nothing_outside_of_the_sample_is_had_through_it(sample, tmp_path, at) -> None:
    (tmp_path / "mine").mkdir(exist_ok=True)
    with pytest.raises(Absent):
        Folders([tmp_path / "mine"], sample).find(at)


def test_a_machine_without_a_sample_has_none(tmp_path) -> None:
    folders = Folders([tmp_path], tmp_path / "none")
    assert folders.sample is None
    assert folders.listing() == []
    with pytest.raises(HeadstartError):
        folders.find("sample:run")
