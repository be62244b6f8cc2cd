"""One rule that takes most of a corpus is named, with the setting that keeps what it removes."""

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.corpus import CorpusRecipe
from headstart.corpus.great_losses import great_losses, way_on
from headstart.corpus.stages import STAGES
from headstart.errors import HeadstartError


def recipe(*overrides: str) -> CorpusRecipe:
    return CorpusRecipe.load(None, list(overrides))


def test_every_way_on_is_a_setting_that_keeps_the_documents() -> None:
    given = recipe()
    for stage in STAGES:
        for rule in stage.rules(given):
            switch = way_on(rule, {"en": 1}, given).removeprefix("; to keep them: ").partition(",")[0]
            if not switch:
                continue
            changed = recipe(switch)
            left = [one for one in STAGES if one.name == stage.name and one.wanted(changed)]
            assert changed.languages == "any" or not left or rule not in left[0].rules(changed)


def test_a_third_is_much() -> None:
    removed = {"quality": {"too_few_words": 34, "curly_brackets": 33}, "mix": {"over_share": 40}}
    said = great_losses(100, removed, {}, recipe())
    assert said == [
        "too_few_words alone removed 34% of the documents; to keep them: rules.too_few_words=off, or "
        "--recipe corpus-plain for texts that are not web pages",
        "over_share alone removed 40% of the documents",
    ]


def test_the_rule_of_a_language_is_switched_off_where_it_did_the_removing() -> None:
    given = recipe(
        "by_language={ja: {rules: {too_few_words: words < 90, curly_brackets: curly_brackets > 2}},"
        " th: {rules: {many: words > 9}}}"
    )
    assert "keep them: by_language.ja.rules.too_few_words=off," in way_on("too_few_words", {"ja": 9}, given)
    assert "keep them: by_language.ja.rules.curly_brackets=off," in way_on("curly_brackets", {"ja": 9}, given)
    assert "keep them: by_language.th.rules.many=off," in way_on("many", {"th": 9}, given)
    both = "keep them: rules.too_few_words=off by_language.ja.rules.too_few_words=off,"
    assert both in way_on("too_few_words", {"ja": 8, "en": 5, "de": 4}, given)
    of_ja = {"ja": {"too_few_words": 40}, "en": {"short_words": 60}}
    (said,) = great_losses(100, {"quality": {"too_few_words": 40}}, of_ja, given)
    assert "by_language.ja.rules.too_few_words=off" in said
    published = recipe("thresholds=fineweb2", "languages=any")
    four = way_on("repeated_lines", {"de": 4, "da": 3, "fr": 2, "cs": 1}, published)
    assert "by_language.fr.rules.repeated_lines=off and so for 1 more of the languages" in four
    assert (
        recipe("by_language.ja.rules.too_few_words=off").quality_rules()[0].of("too_few_words", "ja") is None
    )


def test_where_nothing_is_left_the_rule_of_its_language_is_named(tmp_path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(json.dumps({"text": "A short note says little.", "language": "en"}))
    own = ["languages=any", "by_language.en.rules.too_few_words=words < 80"]
    given = ["corpus", str(file), "--out", str(tmp_path / "lost"), "--workers", "1", *own]
    lost = CliRunner().invoke(app, given)
    assert "to keep them: by_language.en.rules.too_few_words=off, or" in str(lost.exception)


@pytest.mark.parametrize("given", ["rules", "page_rules", "by_language.de.rules"])
def test_a_mistyped_rule_is_not_switched_off(given) -> None:
    with pytest.raises(HeadstartError, match="no rule 'too_few_word' to switch off; did you mean 'too_few"):
        recipe(f"{given}.too_few_word=off")


def test_all_rules_can_be_off() -> None:
    given = recipe("rules=off", "page_rules=off")
    assert set(given.rules.values()) == set(given.page_rules.values()) == {None}


def test_short_texts_are_lost_with_advice_and_kept_by_the_plain_recipe(tmp_path) -> None:
    rows = [
        {"text": f"The short note number {n} says little.", "url": f"http://a.org/{n}"} for n in range(20)
    ]
    file = tmp_path / "notes.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    lost = CliRunner().invoke(app, ["corpus", str(file), "--out", str(tmp_path / "lost"), "--workers", "1"])
    assert "rules.too_few_words=off, or --recipe corpus-plain" in str(lost.exception)
    plain = ["--recipe", "corpus-plain", "--workers", "1", "--json"]
    kept = CliRunner().invoke(app, ["corpus", str(file), "--out", str(tmp_path / "kept"), *plain])
    assert json.loads(kept.stdout)["funnel"][-1]["documents"] == 20


def test_the_plain_recipe_keeps_texts_whole_that_pages_would_lose(tmp_path) -> None:
    """Lines about JavaScript and marks like [1] are notices and citations of pages, not of descriptions."""
    texts = ["Build product tours (JavaScript library)", "Cookies are baked in batches [1]"]
    file = tmp_path / "packages.jsonl"
    file.write_text("\n".join(json.dumps({"text": one, "url": "http://a.org/"}) for one in texts))
    given = ["--recipe", "corpus-plain", "--workers", "1", "--json", "--out", str(tmp_path / "kept")]
    made = CliRunner().invoke(app, ["corpus", str(file), *given])
    assert made.exit_code == 0, made.exception
    kept = pq.read_table(tmp_path / "kept" / "documents")["text"].to_pylist()
    assert sorted(kept) == sorted(texts)


def test_pieces_of_long_documents_are_said_and_counted(documents, tmp_path) -> None:
    """One book of many pieces, of which a rule takes a few: more than there were books, and no great loss."""
    book = "\n\n".join(one["text"] for one in documents)
    (tmp_path / "book.txt").write_text(book + "\n\n" + "the same words again and " * 900)
    given = ["languages=any", "piece_characters=5000", "--workers", "1", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, ["corpus", str(tmp_path / "book.txt"), *given])
    assert said.exit_code == 0, said.exception
    words = " ".join(said.stdout.split())
    assert "long documents were cut into pieces: 1 became" in words
    assert "(piece_characters=5000)" in words
    assert "alone removed" not in words
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert sum(manifest["removed"]["quality"].values()) >= 1
