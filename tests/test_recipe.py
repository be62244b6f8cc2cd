"""Recipes: what is wrong, where, and what was probably meant."""

from pathlib import Path

import pytest
from pydantic import Field

from headstart.errors import HeadstartError
from headstart.recipe import Recipe, read_yaml


class Rule(Recipe):
    name: str
    limit: int = 3


class Optimiser(Recipe):
    rate: float = Field(0.01, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)


class Run(Recipe):
    tokens: Path
    steps: int = 1000
    title: str = ""
    optimiser: Optimiser = Optimiser()
    rules: list[Rule] = []
    second: Optimiser | None = None


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def complaint(path: Path | None, *overrides: str) -> str:
    with pytest.raises(HeadstartError) as caught:
        Run.load(path, list(overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_and_values(recipe) -> None:
    run = Run.load(recipe("tokens: here\noptimiser:\n  rate: 1e-3\nsteps: 2e3\n"), [])
    assert (run.tokens, run.optimiser.rate, run.steps) == (Path("here"), 0.001, 2000)
    assert run.optimiser.betas == (0.9, 0.95)


@pytest.mark.parametrize(
    ("text", "line", "key", "meant"),
    [
        ("tokens: a\nstep: 3\n", 2, "step", "steps"),
        ("# a comment\n\ntoken: a\n", 3, "token", "tokens"),
        ("tokens: a\noptimiser:\n  rate: 1\n  beta: [1, 2]\n", 4, "optimiser.beta", "betas"),
        ("tokens: a\nrules:\n- name: x\n- name: y\n  limits: 2\n", 5, "rules.1.limits", "limit"),
        ("tokens: a\nsecond: {rat: 2}\n", 2, "second.rat", "rate"),
    ],
)
def test_unknown_key_names_line_and_nearest(recipe, text, line, key, meant) -> None:
    path = recipe(text)
    assert complaint(path) == f"{path} line {line}: unknown key '{key}'; did you mean '{meant}'?"


def test_unknown_key_unlike_any_lists_the_known(recipe) -> None:
    assert "known: optimiser, rules, second, steps, title, tokens" in complaint(
        recipe("tokens: a\nzzzz: 1\n")
    )


def test_wrong_type_and_range(recipe) -> None:
    message = complaint(recipe("tokens: a\nsteps: many\n"))
    assert "line 2" in message
    assert "steps = 'many'" in message
    assert "line 3: optimiser.rate = -1 is wrong" in complaint(recipe("tokens: a\noptimiser:\n  rate: -1\n"))
    assert "line 1: optimiser = 3 is wrong" in complaint(recipe("optimiser: 3\ntokens: a\n"))


def test_missing_key() -> None:
    assert complaint(None) == "settings: the key 'tokens' is missing; add it or pass tokens=VALUE"


@pytest.mark.parametrize(
    "text", ["tokens: [a\n", "a: b: c\n", "\ttokens: a\n", "tokens: !!python/name:os.system\n"]
)
def test_bad_yaml(recipe, text) -> None:
    message = complaint(recipe(text))
    assert "not valid YAML" in message
    assert "line" in message


def test_other_bad_files(recipe, tmp_path) -> None:
    assert "must be a list of `key: value` lines" in complaint(recipe("- a\n- b\n"))
    assert "there is no recipe" in complaint(tmp_path / "none.yaml")
    assert "not valid YAML" in complaint(recipe("tokens: 2020-13-45\n"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in complaint(tmp_path / "binary.yaml")
    complaint(recipe("1: 2\n"))
    complaint(recipe(""))


def test_overrides(recipe) -> None:
    path = recipe("tokens: a\nsteps: 5\n")
    overrides = ["optimiser.rate=1e-3", "optimiser.betas=[0.8, 0.9]", "steps=1e3", "title=1e5x", "tokens=b/c"]
    run = Run.load(path, [*overrides, "rules=[{name: q}]"])
    assert (run.optimiser.rate, run.optimiser.betas, run.steps) == (0.001, (0.8, 0.9), 1000)
    assert (run.title, run.tokens, run.rules[0].name) == ("1e5x", Path("b/c"), "q")
    assert Run.load(path, ["steps=1", "steps=2"]).steps == 2
    assert Run.load(path, ["title=a: b: [c"]).title == "a: b: [c"


def test_bad_overrides(recipe) -> None:
    path = recipe("tokens: a\n")
    assert "not of the form key=value" in complaint(path, "steps")
    assert "did you mean 'rate'?" in complaint(path, "optimiser.rates=3")
    assert "holds a value" in complaint(path, "tokens.x=3")


def test_round_trip(tmp_path) -> None:
    run = Run.load(None, ["tokens=ä/x", "optimiser.rate=3e-4", "rules=[{name: 'no: 1'}]", "title='on'"])
    run.save(tmp_path / "saved.yaml")
    assert Run.load(tmp_path / "saved.yaml", []) == run


def test_values_are_fixed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Run.load(None, ["tokens=a"]).steps = 3


def test_a_key_that_stands_twice_is_refused(tmp_path) -> None:
    """YAML's reader would take the last one without a word."""
    (tmp_path / "recipe.yaml").write_text("steps: 1\nmodel:\n  layers: 2\n  layers: 3\n")
    with pytest.raises(HeadstartError, match="line 4: 'layers' stands in line 3 already"):
        read_yaml(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    "text",
    ["1e5", "1e-3", "-2E+4", "1:30", "0x1f", "null", "~", "yes", "2024-01-01", "a: b", "#1", " x ", "1_0"],
)
def test_a_text_is_read_as_the_text_that_was_saved(tmp_path, text) -> None:
    run = Run(tokens=Path(text), title=text)
    run.save(tmp_path / "recipe.yaml")
    assert Run.load(tmp_path / "recipe.yaml", []) == run
