"""What `make release-check` decides without building anything."""

import json
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from headstart import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool() -> ModuleType:
    loader = SourceFileLoader("release_check", str(ROOT / "tools" / "release-check"))
    module = module_from_spec(spec_from_loader("release_check", loader))
    loader.exec_module(module)
    return module


def test_the_version_is_everywhere_the_same(tool) -> None:
    assert tool.said_version(draft=True) == __version__
    assert tool.faults == []


def test_another_version_is_a_fault(tool, tmp_path, monkeypatch) -> None:
    for name in ("CITATION.cff", "CHANGELOG.md", "src/headstart/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    package = tmp_path / "src/headstart/__init__.py"
    package.write_text(package.read_text().replace(__version__, "9.8.7"))
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    tool.said_version(draft=True)
    assert len(tool.faults) == 2


def test_a_wheel_that_was_tried_nowhere_is_a_fault(tool, tmp_path, monkeypatch, capsys) -> None:
    wheel = tmp_path / "headstart.whl"
    wheel.touch()
    words = ["--wheel", wheel, "--out", tmp_path, "--python", "python-of-nobody", "--draft"]
    monkeypatch.setattr(tool.sys, "argv", ["release-check", *map(str, words)])
    monkeypatch.setattr(tool, "check_wheel", lambda wheel, version: None)
    with pytest.raises(SystemExit) as ended:
        tool.main()
    assert ended.value.code == 1
    assert "tried in no environment" in capsys.readouterr().out


def test_every_extra_is_tried(tool) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(tool.IMPORTS) == set(extras) - {"dev"}


@pytest.mark.parametrize(
    ("licence", "faults"),
    [("MIT", 0), ("BSD License", 0), ("Apache Software License", 0), ("GPL-3.0-only", 1), ("", 1)],
)
def test_licences_that_nobody_has_read_are_faults(tool, licence, faults) -> None:
    tool.check_licences([{"name": "some-package", "version": "1", "licence": licence}])
    tool.check_licences([{"name": "gensim", "version": "4", "licence": "LGPL-2.1-only"}])
    assert len(tool.faults) == faults


def test_the_bill_names_every_package(tool, tmp_path) -> None:
    found = [
        {"name": "Jinja2", "version": "3.1.6", "licence": "BSD"},
        {"name": "headstart", "version": "1", "licence": ""},
    ]
    tool.bill(found, "1", tmp_path / "headstart-1.whl")
    made = json.loads((tmp_path / "headstart-1.cdx.json").read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert [part["purl"] for part in made["components"]] == ["pkg:pypi/jinja2@3.1.6"]
    assert made["dependencies"][0]["dependsOn"] == ["pkg:pypi/jinja2@3.1.6"]
