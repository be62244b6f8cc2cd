"""Experiments from registration to verdict: nothing twice, killed at any moment it goes on."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.cli.lab import report
from headstart.errors import HeadstartError
from headstart.folder import read_json
from headstart.lab import conduct as conducting
from headstart.lab import runs as running
from headstart.lab.claim import Claim, Experiment, Level
from headstart.lab.conduct import Laboratory, conduct
from headstart.lab.report import PAGE, write_report
from headstart.lab.result import Result
from headstart.lab.rules import Gain
from headstart.lab.runs import RunCache, RunSpec
from headstart.lock import locked
from headstart.output import output


class Toy:
    """An experiment whose arms are folders with a number, made by a stage of this test."""

    def __init__(self, tmp_path: Path, monkeypatch) -> None:
        self.made: list[str] = []
        self.measured: list[tuple[str, int]] = []
        self.fail_at = -1
        monkeypatch.setitem(running._STAGES, "tokens", self.stage)
        self.file = tmp_path / "toy.py"
        self.file.write_text("def measure(bench): ...\n")
        self.text = tmp_path / "text.txt"
        self.text.write_text("text")
        claim = Claim("T1", "yours", "more is more", "More is more.", "a number")
        levels = {"quick": Level(seeds=3)}
        self.experiment = Experiment(
            claim, levels, Gain("more.x - less.x", 0.5), self.measure, self.arms, file=self.file, own=True
        )
        self.laboratory = Laboratory(tmp_path / "lab", "quick", (self.text,), True)

    def arms(self, bench):
        shared = RunSpec("tokens", {"shared": True}, {})
        return {
            arm: RunSpec("tokens", {"value": value + 0.01 * bench.seed, "seed": bench.seed}, {"base": shared})
            for arm, value in (("less", 1.0), ("more", 2.0))
        }

    def stage(self, spec, cache, workers) -> float:
        if len(self.made) == self.fail_at:
            raise KeyboardInterrupt
        self.made.append(spec.id)
        cache.path(spec).mkdir(parents=True, exist_ok=True)
        (cache.path(spec) / "value.json").write_text(json.dumps(spec.settings.get("value", 0)))
        return 0.0

    def measure(self, bench):
        self.measured.append((bench.arm, bench.seed))
        return {"x": json.loads((bench.run / "value.json").read_text())}

    def run(self, why: str = "") -> Result:
        (result,) = conduct(self.laboratory, [self.experiment], [], why)
        return result


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Toy:
    return Toy(tmp_path, monkeypatch)


def test_a_verdict_with_all_that_it_stands_on(toy) -> None:
    result = toy.run()
    assert result["verdict"] == "supported"
    (part,) = result["parts"]
    assert part["estimate"]["mean"] == pytest.approx(1.0)
    assert part["estimate"]["seeds"] == 3
    assert result["registered"] < min(
        read_json(file, dict)["begun"] for file in (toy.laboratory.folder / "runs").glob("*.json")
    )
    assert set(result["runs"]) == {"less", "more"}
    assert len(toy.made) == 7, "what both arms of all seeds read is made once"
    assert read_json(toy.laboratory.folder / "claims" / "T1" / "result.json", Result) == result


def test_the_same_again_makes_and_measures_nothing(toy) -> None:
    first = toy.run()
    toy.made.clear(), toy.measured.clear()
    again = toy.run()
    assert (toy.made, toy.measured) == ([], [])
    assert {**again, "made": first["made"]} == first


@pytest.mark.parametrize("at", range(7))
def test_stopped_anywhere_it_goes_on(toy, at) -> None:
    toy.fail_at = at
    with pytest.raises(KeyboardInterrupt):
        toy.run()
    toy.fail_at = -1
    assert toy.run()["verdict"] == "supported"
    assert len(toy.made) == len(set(toy.made)) == 7, "nothing was made twice"
    assert len(toy.laboratory.registrations.read()) == 1


def test_a_changed_rule_needs_a_reason_which_the_result_keeps(toy) -> None:
    toy.run()
    toy.experiment = replace(toy.experiment, rule=Gain("more.x - less.x", 2.0))
    with pytest.raises(HeadstartError, match="--why"):
        toy.run()
    result = toy.run("the margin was too small to matter")
    assert (result["verdict"], result["reason"]) == ("not-supported", "no effect")
    assert result["after_the_fact"] == "the margin was too small to matter"
    assert list((toy.laboratory.folder / "claims" / "T1").glob("earlier-*.json")), "the first result stays"


def test_more_seeds_are_a_new_registration_by_the_same_rule(toy) -> None:
    first = toy.run()
    toy.laboratory = replace(toy.laboratory, seeds=5)
    result = toy.run()
    assert result["seeds"] == 5
    assert result["registration"] != first["registration"]
    assert result["registered"] == first["registered"]
    assert len(toy.measured) == 10


def test_runs_older_than_a_rule_are_refused_unless_it_is_said_why(toy) -> None:
    bench = toy.laboratory.bench(toy.experiment)
    toy.laboratory.cache.make(toy.arms(bench)["less"].inputs["base"])
    toy.laboratory.cache.make(toy.arms(bench)["less"])
    with pytest.raises(HeadstartError, match="older than its rule"):
        toy.run()
    assert toy.run("made for another claim; nobody looked")["after_the_fact"]


def test_other_rules_are_registered_beside(toy) -> None:
    other = replace(toy.experiment, claim=replace(toy.experiment.claim, id="T2"))
    conduct(toy.laboratory, [toy.experiment], [other])
    assert [entry["claim"] for entry in toy.laboratory.registrations.read()] == ["T2", "T1"]
    (result,) = conduct(toy.laboratory, [other], [])
    assert not result["after_the_fact"], "its rule is older than the runs that both share"


def test_a_run_that_another_process_makes_is_waited_for(toy, monkeypatch) -> None:
    cache = RunCache(toy.laboratory.folder / "runs")
    spec = RunSpec("tokens", {"value": 1.0}, {})
    cache.folder.mkdir(parents=True)
    waited = []

    def nap(seconds: float) -> None:
        waited.append(seconds)
        held.__exit__(None, None, None)

    held = locked(cache.folder / f".{spec.id}.lock", cache.path(spec))
    held.__enter__()
    clock = SimpleNamespace(sleep=nap, monotonic=running.time.monotonic)
    monkeypatch.setattr(running, "time", clock)
    assert cache.make(spec) == cache.path(spec)
    assert waited == [running.WAIT]
    assert toy.made == [spec.id]


def test_a_corpus_of_what_commands_wrote_is_known_by_its_text(tmp_path) -> None:
    for word in ("one", "two"):
        with output(tmp_path / word / "exported", "exported corpus", settings="the same") as made:
            (tmp_path / word / "exported" / "a.txt").write_text(word)
            made.finish({})
    one, two = (RunSpec("corpus", {}, {}, (tmp_path / word,)) for word in ("one", "two"))
    assert one != two


def test_identity_is_what_is_made_not_where(tmp_path) -> None:
    here, there = tmp_path / "a.txt", tmp_path / "b" / "a.txt"
    there.parent.mkdir()
    for file in (here, there):
        file.write_text("the same")
    corpora = [RunSpec("corpus", {}, {}, (file,)) for file in (here, there)]
    assert corpora[0] == corpora[1]
    default = RunSpec("corpus", {"language_score": 0.5}, {}, (here,))
    assert RunSpec("tokenizer", {}, {"corpus": corpora[0]}) == RunSpec(
        "tokenizer", {"vocab_size": 8192}, {"corpus": corpora[1]}
    ), "a default that is written out is the same setting"
    others = [
        default,
        RunSpec("tokenizer", {"vocab_size": 600}, {"corpus": corpora[0]}),
        RunSpec("tokenizer", {"vocab_size": 600, "split": 1}, {"corpus": corpora[0]}),
        RunSpec("tokenizer", {"vocab_size": 600}, {"corpus": default}),
    ]
    assert len({spec.id for spec in others}) == 4


def test_a_folder_of_other_things_is_left_alone(tmp_path) -> None:
    for name in ("runs", "claims"):  # names that other things have, too
        (tmp_path / name).mkdir()
    (tmp_path / PAGE).write_text("mine")
    with pytest.raises(HeadstartError, match="holds other files"):
        Laboratory(tmp_path, "quick", (), True)
    with pytest.raises(HeadstartError, match="holds no results"):
        report(tmp_path)
    assert (tmp_path / PAGE).read_text() == "mine"


def test_the_page_shows_the_verdict_and_what_has_changed(toy) -> None:
    toy.run()
    page = write_report(toy.laboratory.folder, [toy.experiment]).read_text("utf-8")
    for text in ("T1", "more is more", "supported", "smallest visible", "headstart lab run toy.py --quick"):
        assert text in page
    assert "Stale" not in page
    toy.file.write_text("def measure(bench): return {}\n")
    assert "Stale" in write_report(toy.laboratory.folder, [toy.experiment]).read_text("utf-8")
    index = read_json(toy.laboratory.folder / "index.json", list[dict])
    assert [(one["id"], one["verdict"], one["stale"]) for one in index] == [("T1", "supported", True)]


def test_the_page_says_what_is_registered_and_not_run(toy) -> None:
    toy.laboratory.folder.mkdir()
    page = write_report(toy.laboratory.folder, [toy.experiment]).read_text("utf-8")
    assert "Not registered yet: T1 more is more" in page
    toy.laboratory.register([toy.experiment], [], "")
    page = write_report(toy.laboratory.folder, [toy.experiment]).read_text("utf-8")
    assert "Registered, not yet run: T1 more is more" in page
    assert "Not registered yet" not in page


def test_a_rule_may_judge_what_all_arms_give_together(toy) -> None:
    def together(evidence):
        return {
            "more times less": [a * b for a, b in zip(evidence["more.x"], evidence["less.x"], strict=True)]
        }

    toy.experiment = replace(toy.experiment, rule=Gain("more times less", 1.5), together=together)
    result = toy.run()
    assert result["evidence"]["more times less"][0] == 2.0
    assert result["parts"][0]["estimate"]["seeds"] == 3
    assert result["verdict"] == "supported"


def test_stages_have_versions() -> None:
    assert set(running._STAGES) == set(running.STAGE_VERSION)
    assert conducting.RUNS == "runs"


def test_a_claim_that_this_text_cannot_bear_is_no_hindrance_to_another(toy) -> None:
    """Others are registered early where they can be; one that wants another form of data is left alone."""

    def refuse(bench):
        raise HeadstartError("give a folder that holds two at least")

    other = replace(toy.experiment, claim=replace(toy.experiment.claim, id="T2"), arms=refuse)
    (result,) = conduct(toy.laboratory, [toy.experiment], [toy.experiment, other], "")
    assert result["verdict"] == "supported"
    assert not toy.laboratory.registrations.of("T2", "quick")
    with pytest.raises(HeadstartError, match="two at least"):
        conduct(toy.laboratory, [other], [], "")
