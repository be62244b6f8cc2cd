"""A corpus that goes on from an earlier one: what a fresh build of the same gives, and nothing read twice."""

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_files import page, prose, response, write_jsonl
from typer.testing import CliRunner

from headstart.cli.corpus import corpus as command
from headstart.corpus import CorpusRecipe, build, prepare
from headstart.corpus.readers import sources
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import remove


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Files of several formats, of which some make a task of their own and some share one."""
    folder = tmp_path / "raw"
    folder.mkdir()
    records = [response(f"http://h{n}.org/", page(n).encode()) for n in range(12)]
    (folder / "a.warc").write_bytes(b"".join(records) + b"WARC/1.0\r\nno record")
    for number in range(4):
        rows = [{"id": f"{number}-{n}", "text": prose(100 * number + n % 37)} for n in range(40)]
        write_jsonl(folder / f"b{number}.jsonl", [*rows, {"id": "no text"}])
    (folder / "c.txt").write_text("\n\n".join(prose(20_000 + n) for n in range(60)))
    (folder / "d.bin").write_bytes(b"of no known kind")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the sources that are read, as they are."""
    labels: list[str] = []
    reader = prepare.read_source

    def noted(source: sources.Source, *given: Any) -> Iterator[Any]:
        labels.append(source.label)
        return reader(source, *given)

    monkeypatch.setattr(prepare, "read_source", noted)
    return labels


def recipe(*overrides: str) -> CorpusRecipe:
    return CorpusRecipe.load(None, ["languages=any", "piece_characters=3000", *overrides])


def contents(out: Path) -> dict[str, bytes]:
    """Every byte of what a corpus says; its reports hold times, and `measured/` may be cut otherwise."""
    kept = ("documents", "removed", "index", "pieces", "skipped.jsonl", "recipe.yaml", "report.json")
    files = [path for name in kept for path in (out / name, *(out / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


SETTINGS = [
    ["rules.too_few_words=words < 320", "seed=3", "mix.shares={web: 0.5, raw: 0.5}", "mix.bytes=20000"],
    [
        "near_duplicates.check=0.9",
        "near_duplicates.keep=newest",
        "repeated_lines=2",
        "repeated_substrings=20",
        "by_language={en: {rules: {short_words: off}}}",
    ],
]


@pytest.mark.parametrize("changed", SETTINGS)
def test_other_settings_give_what_a_fresh_build_gives(
    tmp_path: Path, raw: Path, read: list[str], changed: list[str]
) -> None:
    build([raw], tmp_path / "first", recipe(), workers=0)
    fresh = build([raw], tmp_path / "fresh", recipe(*changed), workers=0)
    read.clear()
    remove(raw)
    manifest = build([], tmp_path / "on", recipe(*changed), workers=0, go_on_from=tmp_path / "first")
    assert read == []
    assert contents(tmp_path / "on") == contents(tmp_path / "fresh")
    passing = ("seconds", "created")
    assert {k: v for k, v in manifest.items() if k not in passing} == {
        k: v for k, v in fresh.items() if k not in passing
    }


@pytest.mark.parametrize("seed", range(2))
def test_added_and_changed_files_are_read_alone(
    tmp_path: Path, raw: Path, read: list[str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LEAST_PART", 12_000)
    monkeypatch.setattr(sources, "LEAST_WARC", 12_000)
    rng = random.Random(seed)
    names = sorted(path.name for path in raw.iterdir())
    late = rng.sample(names, 3)
    for name in late:
        (raw / name).rename(tmp_path / name)
    build([raw], tmp_path / "first", recipe(), workers=0)
    for name in late:
        (tmp_path / name).rename(raw / name)
    here = sorted(set(names) - set(late) - {"d.bin"})
    changed = raw / rng.choice(here)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1  # as many bytes as before
    changed.write_bytes(content)
    build([raw], tmp_path / "fresh", recipe(), workers=0)
    read.clear()
    build([raw], tmp_path / "on", recipe(), workers=2 * (seed == 0), go_on_from=tmp_path / "first")
    assert contents(tmp_path / "on") == contents(tmp_path / "fresh")
    if seed:
        assert {label.removeprefix("raw/") for label in read} == {*late, changed.name} - {"d.bin"}


def test_going_on_from_what_went_on(tmp_path: Path, raw: Path, read: list[str]) -> None:
    first, *others = sorted(raw.glob("*.jsonl"))
    build([first], tmp_path / "0", recipe(), workers=0)
    for number, path in enumerate(others[:2]):
        earlier, out = tmp_path / str(number), tmp_path / str(number + 1)
        build([path], out, recipe(), workers=0, go_on_from=earlier)
        remove(earlier)
    assert len(read) == len({*read}) == 3
    build(sorted(raw.glob("*.jsonl"))[:3], tmp_path / "fresh", recipe(), workers=0)
    assert contents(tmp_path / "2") == contents(tmp_path / "fresh")


def test_a_large_file_changed_in_a_place_that_no_sample_sees(tmp_path: Path, read: list[str]) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": f"{n}", "text": prose(n)} for n in range(500)])
    build([path], tmp_path / "first", recipe(), workers=0)
    content = path.read_bytes()
    at = content.index(prose(130).encode())
    assert 65_536 < at < len(content) // 2 - 65_536
    path.write_bytes(content[:at] + prose(130).upper().encode() + content[at + len(prose(130)) :])
    read.clear()
    build([path], tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    assert read == ["a.jsonl"]
    assert prose(130).upper() in {row["text"] for row in corpus_documents(tmp_path / "on")}


def test_every_setting_that_differs_is_said(tmp_path: Path, raw: Path) -> None:
    """The rules of a language that are not given again hold no more: that is not kept silent."""
    own = "by_language={en: {rules: {too_few_words: words < 3}}}"
    build([raw], tmp_path / "first", recipe(own, "decontaminate=[]"), workers=0)
    given = ["--from", str(tmp_path / "first"), "--out", str(tmp_path / "on"), "piece_characters=3000"]
    shown = CliRunner().invoke(command, [*given, "languages=any", "rules.too_few_words=words < 20"])
    assert shown.exit_code == 0, shown.output
    assert "rules.too_few_words was words < 50 and is words < 20" in shown.output
    assert "by_language.en was" in shown.output
    again = [*given[:3], str(tmp_path / "again"), *given[4:], "languages=any", own]
    assert "settings as in" in CliRunner().invoke(command, again).output
    last = [*given[:3], str(tmp_path / "last"), *given[4:], "languages=any", own, "seed=1"]
    assert "1 setting differs from" in CliRunner().invoke(command, last).output


def test_more_tokens_from_the_same_documents(tmp_path: Path, raw: Path) -> None:
    shares = "mix.shares={raw: 1}"
    build([raw], tmp_path / "first", recipe(shares, "mix.bytes=10000"), workers=0)
    more = recipe(shares, "mix.bytes=60000")
    manifest = build([], tmp_path / "more", more, workers=0, go_on_from=tmp_path / "first")
    assert 59_000 < manifest["mix"]["raw"]["result"] < 64_000


def test_what_cannot_go_on_is_refused(tmp_path: Path, raw: Path) -> None:
    first, inputs = tmp_path / "first", sorted(raw.glob("b*.jsonl"))
    build(inputs, first, recipe(), workers=0)

    def refused(words: str, given: list[Path], *overrides: str, earlier: Path = first) -> None:
        with pytest.raises(HeadstartError, match=words):
            build(given, tmp_path / "on", recipe(*overrides), workers=0, go_on_from=earlier)
        assert not (tmp_path / "on" / "manifest.json").exists()

    refused("extractor was headstart and is resiliparse", [], "extractor=resiliparse")
    refused("near_duplicates was", [], "near_duplicates.bands=20")
    other = tmp_path / "other"
    other.mkdir()
    write_jsonl(other / "b1.jsonl", [{"text": prose(1)}])
    refused("is called b1.jsonl here", [other / "b1.jsonl"])
    refused("is called raw/b0.jsonl here", [raw])
    damaged = next((first / "measured").glob("0*.json"))
    damaged.write_bytes(b"{")
    refused("lacks what was read of", [])
    build(inputs, tmp_path / "again", recipe(), workers=0, go_on_from=first)  # they are read anew
    assert contents(tmp_path / "again") == contents(first)
    remove(first / "measured")
    refused("measured documents .* are gone", [])
    refused("not a finished corpus", [], earlier=raw)


def test_a_file_that_could_not_be_read_and_now_can(tmp_path: Path, raw: Path) -> None:
    broken = raw / "z.zip"
    broken.write_bytes(b"no archive")
    build([raw], tmp_path / "first", recipe(), workers=0)
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("in.txt", prose(7))
    build([raw], tmp_path / "fresh", recipe(), workers=0)
    build([raw], tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    assert contents(tmp_path / "on") == contents(tmp_path / "fresh")
    assert "z.zip" not in (tmp_path / "on" / "skipped.jsonl").read_text()
    broken.write_bytes(b"no archive")
    with pytest.raises(HeadstartError, match=r"has read raw/z\.zip, which by now cannot be read"):
        build([raw], tmp_path / "later", recipe(), workers=0, go_on_from=tmp_path / "on")


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_of_measured_documents_is_not_taken_over(
    tmp_path: Path, raw: Path, read: list[str], damage: str
) -> None:
    build([raw], tmp_path / "first", recipe(), workers=0)
    (file,) = (tmp_path / "first" / "measured").glob("*.parquet")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:  # whole, but of other input than its note says
        build([raw / "c.txt"], tmp_path / "other", recipe(), workers=0)
        (other,) = (tmp_path / "other" / "measured").glob("*.parquet")
        file.write_bytes(other.read_bytes())
    with pytest.raises(HeadstartError, match="lacks what was read of"):
        build([], tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    write_jsonl(raw / "e.jsonl", [{"text": prose(9)}])
    build([raw], tmp_path / "fresh", recipe(), workers=0)
    read.clear()
    build([raw], tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    assert contents(tmp_path / "on") == contents(tmp_path / "fresh")
    assert len(read) == 7


def test_measured_files_are_not_copied(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "first", recipe(), workers=0)
    build([], tmp_path / "on", recipe("seed=1"), workers=0, go_on_from=tmp_path / "first")
    (one,) = (tmp_path / "first" / "measured").glob("*.parquet")
    assert one.samefile(tmp_path / "on" / "measured" / one.name)


def test_stages_apart(tmp_path: Path, raw: Path, read: list[str]) -> None:
    settings = ["rules.too_few_words=words < 320", "repeated_lines=2"]
    whole = build([raw], tmp_path / "whole", recipe(*settings), workers=0)
    extracted = build([raw], tmp_path / "0", recipe(*settings, "stages=[]"), workers=0)
    assert [row["stage"] for row in extracted["funnel"]] == ["read", "extract", "mix"]
    assert extracted["index"]["near_duplicates"] is None
    read.clear()
    later = recipe(*settings, "stages=[near duplicates, quality]")
    manifest = build([], tmp_path / "1", later, workers=0, go_on_from=tmp_path / "0")
    assert [row["stage"] for row in manifest["funnel"]] == [
        "read",
        "extract",
        "quality",
        "near duplicates",
        "mix",
    ]
    assert manifest["removed"]["quality"] == whole["removed"]["quality"]
    build([], tmp_path / "2", recipe(*settings), workers=0, go_on_from=tmp_path / "1")
    assert contents(tmp_path / "2") == contents(tmp_path / "whole")
    assert read == []
    with pytest.raises(HeadstartError, match=r"there is no 'dedup'.*near duplicates"):
        build([], tmp_path / "3", recipe("stages=[dedup]"), workers=0, go_on_from=tmp_path / "0")


def test_of_a_corpus_that_is_an_input_the_documents_alone_are_read(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "first", recipe("rules.too_few_words=words < 320"), workers=0)
    labels = [source.label for source in sources.find_sources([tmp_path / "first"])[0]]
    assert labels == ["first/documents/000000.parquet"]
    (raw / "manifest.json").write_text("[]")
    assert "raw/a.warc" in [source.label for source in sources.find_sources([raw])[0]]


@pytest.mark.parametrize("damaged", ["{", None])
def test_a_corpus_with_a_damaged_manifest_is_no_folder_of_plain_files(
    tmp_path: Path, raw: Path, damaged: str | None
) -> None:
    """It would give back what the corpus has removed."""
    first = tmp_path / "first"
    build([raw], first, recipe("rules.too_few_words=words < 320"), workers=0)
    (first / "manifest.json").unlink()
    if damaged is not None:
        (first / "manifest.json").write_text(damaged)
    with pytest.raises(HeadstartError, match=r"first is a corpus whose manifest\.json is damaged or missing"):
        sources.find_sources([tmp_path])
    (read,) = sources.find_sources([first / "documents"])[0]
    assert read.label == "documents/000000.parquet"


def test_a_manifest_without_its_figures_is_one_sentence(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "first", recipe(), workers=0)
    said = json.loads((tmp_path / "first" / "manifest.json").read_text())
    del said["funnel"]
    (tmp_path / "first" / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(HeadstartError, match=r"manifest\.json has no 'funnel'"):
        build([raw], tmp_path / "first", recipe(), workers=0)["funnel"]
