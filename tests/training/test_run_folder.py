"""A run folder says when it goes on under other circumstances."""

import torch

from headstart.folder import read_json, write_json
from headstart.recipe import Recipe
from headstart.training.run_folder import claim


def test_another_number_of_threads_is_said(tmp_path, capsys) -> None:
    claim(tmp_path, Recipe(), "text", set(), 0)
    claim(tmp_path, Recipe(), "text", set(), 0)
    assert "threads" not in capsys.readouterr().err
    threads = torch.get_num_threads() + 1
    write_json(tmp_path / "run.json", read_json(tmp_path / "run.json") | {"threads": threads})
    claim(tmp_path, Recipe(), "text", set(), 0)
    assert f"began with {threads} threads and goes on with {threads - 1}" in capsys.readouterr().err
