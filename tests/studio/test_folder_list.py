"""The list of folders: whatever lies in a root, it is shown."""

import json

import pytest

from headstart.studio.folders import Folders


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
