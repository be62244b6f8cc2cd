"""The Corpus view's numbers are the folder's, counted another way; nothing outside is read, nothing run."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from headstart.corpus.trace import trace
from headstart.corpus_folder import corpus_documents, corpus_manifest
from headstart.studio import frames
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import tokens_manifest

API = "/api/v1"


@pytest.fixture
def ask(studio, corpus_root):
    def ask(path: str, **query):
        answer = studio.get(f"{API}/{path}", params={"at": "corpus", **query})
        assert answer.status_code == 200, answer.text
        return answer

    return ask


def test_flows_add_up_to_the_stages(ask, corpus_root) -> None:
    found = ask("corpus").json()
    manifest = corpus_manifest(corpus_root / "corpus")
    assert [row["documents"] for row in found["stages"]] == [row["documents"] for row in manifest["funnel"]]
    for place, stage in enumerate(found["stages"][1:]):
        for unit in ("documents", "bytes", "words", "tokens"):
            total = sum(flow["stages"][place][unit] for flow in found["flows"])
            assert total == stage[unit], (stage["stage"], unit)


def test_stages_are_counted_in_tokens(corpus_root, tokenizer) -> None:
    """The last is what stands in the shards; between two stages went the tokens of what was removed there."""
    corpus, tokens = corpus_root / "corpus", tokens_manifest(corpus_root / "corpus-tokens")
    stages = {one["stage"]: one for one in tokens["stages"]}
    last = stages["mix"]
    ends = len(tokenizer.opening) + len(tokenizer.closing)
    held = sum(split["tokens"] - ends * split["documents"] for split in tokens["splits"].values())
    assert last["tokens"] == held == sum(last["domains"].values())
    gone: dict[str, int] = {}
    for file in (corpus / "removed").glob("*.parquet"):
        for row in pq.read_table(file, columns=["stage", "text"]).to_pylist():
            gone[row["stage"]] = gone.get(row["stage"], 0) + len(tokenizer.encode(row["text"]))
    names = list(stages)
    assert {"quality", "exact duplicates", "near duplicates"} <= gone.keys()
    for before, name in pairwise(names):
        if name != "mix" and "substrings" not in name:  # one repeats, the other cuts inside of documents
            assert stages[before]["tokens"] - stages[name]["tokens"] == gone.get(name, 0), name
    unique = {row["id"]: row["text"] for row in corpus_documents(corpus, ["id", "text"])}
    unmixed = sum(len(tokenizer.encode(text)) for text in unique.values()) + gone.get("mix", 0)
    assert stages[names[-2]]["tokens"] == unmixed


def test_the_sample_is_the_reports(ask, corpus_root) -> None:
    fields, places = frames.decode(ask("corpus/sample").content)
    report = json.loads((corpus_root / "corpus" / "report.json").read_text())
    assert fields["documents"] == report["quality"]["judged"], "a small corpus is its own sample"
    assert all(len(tensor) == fields["documents"] for tensor in places.values())
    rule = next(one for one in report["quality"]["rules"] if one["rule"] == "too_few_words")
    at = 2 * fields["signals"][rule["signal"]]["values"].index(rule["threshold"])
    assert int((places[rule["signal"]] < at).sum()) == rule["fires"]


def test_removed_documents_come_page_by_page(ask, corpus_root) -> None:
    removed = corpus_manifest(corpus_root / "corpus")["removed"]
    for stage, rules in removed.items():
        for rule, count in rules.items():
            seen: list[str] = []
            while page := ask("corpus/removed", stage=stage, rule=rule, after=len(seen)).json():
                seen += [one["id"] for one in page]
            assert len(seen) == count, (stage, rule)
            assert len({*seen}) == count


def test_a_pair_is_one_text_and_the_other(ask) -> None:
    (one, *_) = ask("corpus/removed", stage="near duplicates", rule="similar_text").json()
    pair = ask("corpus/pair", identity=one["id"]).json()
    assert pair["kept"] == one["kept"]
    assert {kind for kind, _ in pair["difference"]} & {"kept", "gone"}


def test_a_token_leads_to_its_document_and_page(ask, studio, corpus_root) -> None:
    folder = corpus_root / "corpus-tokens"
    ids = np.load(folder / "train-00000.npy")
    place = 777
    answer = studio.get(
        f"{API}/corpus/token", params={"at": "corpus-tokens", "split": "train", "place": place}
    )
    token = answer.json()
    assert token["text"] == open_tokenizer(folder).token_text(int(ids[place]))
    ways = ask("corpus/trace", name=token["id"]).json()
    expected = trace(corpus_root / "corpus", token["id"])
    assert [way["status"] for way in ways] == [one["status"] for one in expected] == ["kept"]
    assert [(one["first"], one["tokens"]) for one in ways[0]["tokens"] if one["first"] <= place][-1:] == [
        (token["first"], token["tokens"])
    ]
    raw = ask("corpus/raw", source=ways[0]["source"]).json()
    assert ways[0]["text"].split()[:5] == raw["text"].split()[:5]


def test_raw_files_outside_are_not_read_and_extensions_not_run(studio, corpus_root, tmp_path) -> None:
    """A corpus from elsewhere may name any file, and a recipe of its own Python."""
    hostile = corpus_root / "hostile-corpus"
    shutil.copytree(corpus_root / "corpus", hostile)
    try:
        manifest = json.loads((hostile / "manifest.json").read_text())
        way = trace(hostile, "short")[0]
        outside = tmp_path / "secret.jsonl"
        outside.write_text((corpus_root / "raw.jsonl").read_text())
        for address in (str(outside), "https://example.org/raw.jsonl"):
            manifest["inputs"][0]["address"] = address
            (hostile / "manifest.json").write_text(json.dumps(manifest))
            asked = {"at": "hostile-corpus", "source": way["source"]}
            answer = studio.get(f"{API}/corpus/raw", params=asked)
            assert answer.status_code == 400
            assert "outside" in answer.json()["error"]["message"]
        ran = tmp_path / "ran"
        extension = hostile / "own.py"
        extension.write_text(f"open({str(ran)!r}, 'w').close()\n")
        recipe = (hostile / "recipe.yaml").read_text()
        (hostile / "recipe.yaml").write_text(recipe.replace("extensions: []", f"extensions: [{extension}]"))
        assert str(extension) in (hostile / "recipe.yaml").read_text()
        manifest["inputs"][0]["address"] = str(corpus_root / "raw.jsonl")
        (hostile / "manifest.json").write_text(json.dumps(manifest))
        for path, more in (("corpus", {}), ("corpus/raw", {"source": way["source"]})):
            assert studio.get(f"{API}/{path}", params={"at": "hostile-corpus", **more}).status_code == 200
        assert not ran.exists()
    finally:
        shutil.rmtree(hostile)


@pytest.mark.parametrize("damage", ["a count", "a stage"])
def test_a_report_of_another_making_is_a_sentence(studio, corpus_root, damage) -> None:
    copy = corpus_root / "stale"
    shutil.copytree(corpus_root / "corpus", copy)
    try:
        report = json.loads((copy / "report.json").read_text())
        if damage == "a count":
            report["funnel"][0]["documents"] += 1
        else:
            next(iter(report["by"]["domain"].values())).pop()
        (copy / "report.json").write_text(json.dumps(report))
        answer = studio.get(f"{API}/corpus", params={"at": "stale"})
        assert answer.status_code == 400
        assert "another making" in answer.json()["error"]["message"]
        (copy / "report.json").unlink()
        assert "make the corpus again" in studio.get(f"{API}/corpus", params={"at": "stale"}).text
    finally:
        shutil.rmtree(copy)
