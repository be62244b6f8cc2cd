"""The results in the repository: by rules of today, registered before, with all that they claim to hold."""

from pathlib import Path

import pytest

from headstart.folder import read_json
from headstart.lab.registration import Registrations, rule_hash
from headstart.lab.registry import experiments
from headstart.lab.result import read_results
from headstart.lab.runs import corpus_of, tokenizer_of, tokens_of

LAB = Path(__file__).parents[2] / "lab"
RESULTS = read_results(LAB)
KNOWN = {one.id: one for one in experiments()}


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result["claim"]["id"])
def test_a_result_is_the_verdict_of_the_registered_rule(result) -> None:
    one = KNOWN[result["claim"]["id"]]
    assert result["rule_hash"] == rule_hash(one, result["level"]), "run it again and ship the new result"
    registered = {entry["hash"]: entry for entry in Registrations(LAB).of(one.id, result["level"])}
    entry = registered[result["registration"]]
    assert entry["rule"] == result["rule_hash"]
    assert entry["plan"]["seeds"] == result["seeds"]
    assert result["registered"] < result["made"]
    again = one.rule.judge(result["evidence"])
    assert (again.verdict, again.reason) == (result["verdict"], result["reason"])
    assert [part.effect for part in again.parts] == [part["effect"] for part in result["parts"]]


def test_the_index_has_every_result() -> None:
    index = read_json(LAB / "index.json", list[dict])
    assert [one["id"] for one in index] == [result["claim"]["id"] for result in RESULTS]
    assert all((LAB / one["result"]).is_file() for one in index)
    page = (LAB / "report.html").read_text("utf-8")
    assert all(f'id="{one["id"]}"' in page for one in index)


def test_runs_keep_the_ids_that_were_registered() -> None:
    """A setting that a recipe gains may not make every run of before another one: see `LATER`."""
    samples = LAB.parent / "samples"
    files = tuple(samples / name for name in ("crawl", "books", "brown"))
    corpus = corpus_of(files)
    assert corpus.id == "59d300639d0ffbf3"
    assert tokens_of(corpus, tokenizer_of(corpus, 4096)).id == "5f7ecc9bc3745a8e"
    assert corpus_of(files, page_metadata=["author"]).id != corpus.id
