"""Every claim that trains, from arms to verdict, at toy size: that names, units and runs fit together."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.lab import house
from headstart.lab.bench import Bench
from headstart.lab.conduct import Laboratory, conduct
from headstart.lab.registry import experiments
from headstart.lab.report import write_report

SAMPLES = Path(__file__).parents[2] / "samples"
TRAINED = ("C01", "C03", "C04", "C05", "C06", "C09", "C11", "C16", "C17", "C19", "C22", "C23", "C24", "C27",
           "C29", "C34")  # fmt: skip
BOOKS = {"books": "austen-emma", "web": "king-james-bible", "judge": "austen-persuasion"}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    """Three files of text, of three domains."""
    folder = tmp_path_factory.mktemp("text")
    files = []
    for domain, book in BOOKS.items():
        text = gzip.decompress((SAMPLES / "books" / f"{book}.txt.gz").read_bytes()).decode("utf-8")
        rows = [
            {"id": f"{domain}-{n}", "text": text[n : n + 4000], "domain": domain}
            for n in range(0, 240_000, 4000)
            if text[n : n + 4000].strip()
        ]
        files.append(folder / f"{domain}.jsonl")
        files[-1].write_text("\n".join(map(json.dumps, rows)))
    return Laboratory(tmp_path_factory.mktemp("all") / "lab", "quick", tuple(files), True, seeds=1)


@pytest.mark.slow
@pytest.mark.parametrize("claim", TRAINED)
def test_a_claim_comes_to_a_verdict(claim, laboratory, tmp_path, monkeypatch) -> None:
    def first_rows(bench: Bench, task: str) -> tuple[Path, Path]:
        parts = []
        for part, count in (("train", 400), ("test", 80)):
            with gzip.open(SAMPLES / "labels" / f"{task}.{part}.jsonl.gz", "rt", encoding="utf-8") as file:
                rows = [line for _, line in zip(range(count), file, strict=False)]
            parts.append(laboratory.folder.parent / f"{task}.{part}.jsonl")
            parts[-1].write_text("".join(rows), encoding="utf-8")
        return parts[0], parts[1]

    tiny = {"layers": 2, "width": 32, "heads": 2, "feedforward_width": 48}
    monkeypatch.setattr(house, "SHAPES", {"XS": tiny, "S": tiny})
    monkeypatch.setattr(Bench, "labelled", first_rows)
    if claim == "C03":
        monkeypatch.setattr("headstart.lab.claims.context.c03_senses.LEAST", 1)
    if claim == "C06":
        monkeypatch.setattr("headstart.lab.measures.similarity.COMMON", 1)
    (one,) = (known for known in experiments() if known.id == claim)
    level = replace(one.levels["quick"], tokens=16 * 2048.0)
    (result,) = conduct(laboratory, [replace(one, levels={"quick": level})], [], "toy sizes share runs")
    assert [part["effect"] for part in result["parts"]]
    assert all(part["estimate"] or part["reason"] == "beyond this scale" for part in result["parts"])
    assert result["figures"]
    page = write_report(laboratory.folder, [one]).read_text("utf-8")
    assert f'id="{claim}"' in page
