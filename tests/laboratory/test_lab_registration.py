"""Registrations: older than the run, unbroken, and another rule only with a reason."""

import ast
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from headstart.errors import HeadstartError
from headstart.folder import read_json
from headstart.lab import registration
from headstart.lab.claim import Level
from headstart.lab.conduct import refuse_younger
from headstart.lab.registration import FILE, Intent, Registrations, plain_code, rule_hash
from headstart.lab.registry import experiments
from headstart.lab.rules import Gain
from headstart.lock import locked

SHIPPED = Path(registration.__file__).with_name("registered.json")


def intent(rule: str = "r1", there: bool = False, **plan) -> Intent:
    return Intent("C99", "quick", rule, {"seeds": 3} | plan, there)


def test_equal_intents_are_registered_once(tmp_path) -> None:
    book = Registrations(tmp_path)
    first = book.add([intent()])
    assert book.add([intent()]) == first
    (more,) = book.add([intent(seeds=8)])
    assert more["previous"] == first[0]["hash"]
    assert [entry["plan"]["seeds"] for entry in book.read()] == [3, 8], "more seeds are a new registration"
    assert book.first("C99", "quick", "r1") == first[0]


def test_another_rule_needs_a_reason(tmp_path) -> None:
    book = Registrations(tmp_path)
    book.add([intent("r1")])
    with pytest.raises(HeadstartError, match="say why it was changed"):
        book.add([intent("r2")])
    (entry,) = book.add([intent("r2")], "the margin was a slip of the pen")
    assert entry["why"] == "the margin was a slip of the pen"


def test_a_rule_on_runs_that_are_there_needs_a_reason(tmp_path) -> None:
    book = Registrations(tmp_path)
    with pytest.raises(HeadstartError, match="older than its rule"):
        book.add([intent(there=True)])
    assert book.add([intent(there=True)], "nobody looked")[0]["why"] == "nobody looked"


@pytest.mark.parametrize("change", ["edit", "remove", "swap"])
def test_a_changed_history_is_noticed(tmp_path, change) -> None:
    book = Registrations(tmp_path)
    for seeds in (3, 5, 8):
        book.add([intent(seeds=seeds)])
    lines = book.file.read_bytes().splitlines(keepends=True)
    if change == "edit":
        entry = json.loads(lines[1])
        entry["rule"] = "r7"
        lines[1] = orjson.dumps(entry) + b"\n"
    elif change == "remove":
        del lines[1]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    book.file.write_bytes(b"".join(lines))
    with pytest.raises(HeadstartError, match=r"line \d does not follow"):
        book.read()


def test_a_torn_line_is_written_over(tmp_path) -> None:
    book = Registrations(tmp_path)
    book.add([intent()])
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"claim": "C9')
    assert len(book.read()) == 1
    book.add([intent(seeds=5)])
    assert [entry["plan"]["seeds"] for entry in book.read()] == [3, 5]


def test_a_rule_younger_than_its_run_gives_no_verdict(tmp_path) -> None:
    (entry,) = Registrations(tmp_path).add([intent()])
    refuse_younger("C99", entry, "9999-01-01")
    with pytest.raises(HeadstartError, match="no verdict by a rule that is younger than its run"):
        refuse_younger("C99", entry, "2020-01-01")
    refuse_younger("C99", {**entry, "why": "nobody had looked"}, "2020-01-01")


def test_two_processes_take_turns(tmp_path) -> None:
    book, started = Registrations(tmp_path), threading.Event()

    def other() -> None:
        started.set()
        Registrations(tmp_path).add([intent(seeds=5)])

    thread = threading.Thread(target=other)
    with locked(tmp_path / f".{FILE}.lock", book.file):
        thread.start()
        started.wait()
        time.sleep(0.05)
        assert not book.file.exists(), "it waits"
    thread.join()
    assert len(book.read()) == 1


def test_what_decides_is_hashed_and_words_are_not(tmp_path) -> None:
    one = experiments()[0]

    def hashed(source: str, **changes) -> str:
        file = tmp_path / "claim.py"
        file.write_text(source)
        return rule_hash(replace(one, file=file, **changes), "quick")

    plain = 'CLAIM = 1\ndef measure(bench):\n    """Words."""\n    return {"x": 1.0}\n'
    told = 'CLAIM = 2\ndef measure(bench):\n    """Other words."""  # and more\n    return {"x": 1.0}\n'
    drawn = plain + "def picture(evidence):\n    return []\n"
    assert hashed(plain) == hashed(told) == hashed(drawn)
    others = [
        hashed(plain.replace("1.0", "2.0")),
        hashed(plain, rule=Gain("x", 1.0)),
        hashed(plain, rule=Gain("x", 2.0)),
        hashed(plain, claim=replace(one.claim, statement="Something else.")),
        hashed(plain, levels={"quick": Level(tokens=5)}),
    ]
    assert len({hashed(plain), *others}) == 6
    assert hashed(plain, levels={"quick": Level(seeds=9, minutes=7)}) == hashed(
        plain, levels={"quick": Level()}
    )


def test_a_measure_belongs_to_the_claims_that_import_it() -> None:
    found = {one.id: str(registration._code(one.file).keys()) for one in experiments()}
    assert "headstart.lab.measures.exactness" in found["C12"]
    assert "measures" not in found["C10"]


def test_code_without_words_and_places() -> None:
    one = ast.parse('"""A."""\n\n\ndef f(x):\n    """B."""\n    return x+1')
    other = ast.parse("def f(x): return (x + 1)  # why")
    assert plain_code(one) == plain_code(other)
    assert plain_code(one) != plain_code(ast.parse("def f(x): return x + 2"))


def test_no_shipped_rule_changes_without_a_line_that_says_why() -> None:
    """The last line of a claim and level in `registered.json` is the rule of today; a changed rule is a new
    line below the old ones, with the reason."""
    lines = read_json(SHIPPED, list[dict[str, str]])
    latest = {(line["claim"], line["level"]): line["rule"] for line in lines}
    missing = [
        {"claim": one.id, "level": level, "rule": rule_hash(one, level), "why": "..."}
        for one in experiments()
        for level in one.levels
        if latest.get((one.id, level)) != rule_hash(one, level)
    ]
    assert not missing, f"add to {SHIPPED.name}: {json.dumps(missing)}"
    later = {(line["claim"], line["level"]) for line in lines if line["why"]}
    for key in {(line["claim"], line["level"]) for line in lines}:
        count = sum((line["claim"], line["level"]) == key for line in lines)
        assert count == 1 or key in later
