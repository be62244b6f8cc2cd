"""The shipped recipes, and how settings of rules add up."""

from pathlib import Path

import numpy as np
import pytest

from headstart.corpus import CorpusRecipe
from headstart.corpus.recipe import PAGE_RULES, RULES
from headstart.errors import HeadstartError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("corpus*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_short_and_load_again_as_they_were_saved(path: Path, tmp_path: Path) -> None:
    recipe = CorpusRecipe.load(path, [])
    recipe.save(tmp_path / "saved.yaml")
    assert CorpusRecipe.load(tmp_path / "saved.yaml", []) == recipe
    assert path.stem == "corpus" or len(path.read_text().splitlines()) < 40


def test_the_explained_recipe_has_the_defaults() -> None:
    (path,) = [path for path in RECIPES if path.stem == "corpus"]
    assert CorpusRecipe.load(path, []) == CorpusRecipe()


def test_defaults_off_leaves_what_is_given() -> None:
    recipe = CorpusRecipe.load(None, ["rules={defaults: off, mine: words < 3}"])
    assert recipe.quality_rules()[0].names() == ["mine"]
    assert recipe.quality_rules()[1].names() == list(PAGE_RULES)
    assert len(CorpusRecipe().quality_rules()[0].names()) == len(RULES)


def test_a_language_has_its_own_thresholds() -> None:
    own = "{de: {rules: {too_few_words: words < 5, short_words: off, short_lines: short_lines > 0.9}}}"
    for_all, for_pages = CorpusRecipe.load(None, [f"by_language={own}"]).quality_rules()
    columns = {
        "words": np.array([10.0, 10, 4]),
        "mean_word_length": np.array([2.0, 2, 2]),
        "short_lines": np.array([0.8, 0.8, 0.95]),
    }
    language = np.array(["en", "de", "de"])
    assert for_all.removes("too_few_words", columns, language).tolist() == [True, False, True]
    assert for_all.removes("short_words", columns, language).tolist() == [True, False, False]
    assert for_pages.removes("short_lines", columns, language).tolist() == [True, False, True]
    assert for_all.of("short_words", "de") is None


def test_mistakes_in_rules_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"by_language.*did you mean 'words'"):
        CorpusRecipe.load(None, ["by_language={de: {rules: {mine: word < 3}}}"])
    with pytest.raises(HeadstartError, match="'words' cannot name a signal"):
        CorpusRecipe.load(None, ["word_lists={words: list.txt}"])
    with pytest.raises(HeadstartError, match="personal_data"):
        CorpusRecipe.load(None, ["personal_data=[mail]"])
