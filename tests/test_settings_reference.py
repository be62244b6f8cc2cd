"""`--settings`: every setting of every verb with its type, default, meaning and usual names."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.cli.settings import RECIPES, recipe_class, reference
from headstart.errors import HeadstartError
from headstart.recipe import Recipe, shipped_recipes
from headstart.settings_reference import facts_of
from headstart.training.recipe import PretrainRecipe

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("verb", RECIPES)
def test_every_setting_is_explained(verb) -> None:
    facts = list(facts_of(recipe_class(verb)))
    assert facts
    for one in facts:
        assert one.meaning, f"{one.name} of {verb} has no docstring"
        assert one.type


@pytest.mark.parametrize("verb", [verb for verb in RECIPES if "," not in verb])
def test_the_option_lists_what_the_recipe_knows(verb) -> None:
    answer = CliRunner().invoke(app, [*verb.split(), "--settings"])
    assert answer.exit_code == 0, answer.output
    for one in facts_of(recipe_class(verb)):
        assert f"\n{one.name} = {one.default or '(to be given)'}" in "\n" + answer.output
        assert all(name in answer.output for name in one.usual)


def test_defaults_are_written_as_recipes_read_them() -> None:
    facts = [one for one in facts_of(PretrainRecipe) if one.default and one.default != "null"]
    recipe = PretrainRecipe.load(None, ["tokens=t", *(f"{one.name}={one.default}" for one in facts)])
    assert recipe == PretrainRecipe.load(None, ["tokens=t"])


def test_the_reference_has_all_settings() -> None:
    page = reference()
    for verb in RECIPES:
        for one in facts_of(recipe_class(verb)):
            assert f"| `{one.name}` |" in page
    assert "`warmup_steps`" in page
    assert "?." not in page, "an answer that asks ends with its question mark"
    assert ", ." not in page, "no answer ends in an unfinished list"


def test_a_shipped_recipe_is_found_by_its_name(tmp_path, monkeypatch) -> None:
    assert set(shipped_recipes()) == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    by_path = PretrainRecipe.load(ROOT / "recipes" / "encoder.yaml", ["tokens=t"])
    monkeypatch.chdir(tmp_path)
    assert PretrainRecipe.load(Path("encoder"), ["tokens=t"]) == by_path
    with pytest.raises(
        HeadstartError, match=r"there is no recipe encodr; .* headstart: .*decoder, .*encoder"
    ):
        Recipe.load(Path("encodr"), [])
    (tmp_path / "encoder").write_text("tokens: here\nsteps: 7\n")
    assert PretrainRecipe.load(Path("encoder"), []).steps == 7, "a file of one's own comes first"


def test_the_wheel_holds_the_recipes() -> None:
    assert 'recipes = "headstart/recipes"' in (ROOT / "pyproject.toml").read_text()


def test_the_page_in_docs_is_current() -> None:
    page = (ROOT / "docs" / "reference-settings.md").read_text(encoding="utf-8")
    assert page == reference(), "a recipe has changed: run `make reference`"
