"""The list of folders: whatever lies in a root, it is shown."""

import json

import pytest

from headstart.studio.folders import Absent, Folders


@pytest.mark.parametrize("said", [5, "GPT2LMHeadModel", {"a": 1}, [1, None], None])
def test_a_model_that_says_nonsense_hides_no_other(tmp_path, said) -> None:
    for name, classes in (("odd", said), ("good", ["GPT2LMHeadModel"])):
        (tmp_path / name).mkdir()
        config = {"model_type": "gpt2", "architectures": classes, "headstart": said}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "model.safetensors").touch()
    found = {folder.at: folder.architecture for folder in Folders([tmp_path]).listing()}
    assert found["good"] == "decoder"
    assert "odd" in found


def test_what_comes_with_headstart_is_named_and_stands_behind_what_is_ones_own(tmp_path) -> None:
    """By its root's name, one's own second root by its number; no folder twice where roots overlap."""
    for name in ("runs/mine", "runs/model", "other/headstart-mine", "box/headstart-mini"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").touch()
    roots = [tmp_path / name for name in ("runs", "other", "runs/mine")]
    folders = Folders(roots, given={"model": tmp_path / "box"})
    listed = [one.at for one in folders.listing()]
    assert sorted(listed[:3]) == ["1:headstart-mine", "mine", "model"]
    assert listed[3:] == ["model:headstart-mini"]
    assert all(folders.address(folders.find(at)) == at for at in listed)
    with pytest.raises(Absent):
        folders.find("samples:headstart-mini")
