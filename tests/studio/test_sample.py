"""The sample: whole, small enough for a wheel, and one chain from its pages to its models."""

import hashlib
import json
import zlib
from pathlib import Path

import pytest
import torch

from headstart.objectives.batch import loss_sum
from headstart.objectives.vocabulary import read_vocabulary
from headstart.studio.app import SAMPLE
from headstart.studio.folders import Folders
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import tokens_manifest
from headstart.training.data_loader import DataLoader
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.restore import load_any

ROOT = Path(__file__).parent.parent.parent
MOST = 4_000_000  # bytes that a wheel may carry for it; a wheel deflates what it holds

pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not here: make sample")


def test_every_file_is_as_it_was_packed_and_named_in_the_notice() -> None:
    hashes = json.loads((SAMPLE / "hashes.json").read_text(encoding="utf-8"))
    there = {file.relative_to(SAMPLE).as_posix(): file for file in SAMPLE.rglob("*") if file.is_file()}
    assert {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in there.items()} == (
        hashes | {"hashes.json": hashlib.sha256((SAMPLE / "hashes.json").read_bytes()).hexdigest()}
    )
    assert sum(len(zlib.compress(file.read_bytes())) for file in there.values()) <= MOST
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert hashlib.sha256((SAMPLE / "hashes.json").read_bytes()).hexdigest() in notice


def test_it_holds_one_of_every_kind_that_a_view_wants(tmp_path) -> None:
    kinds = {one.kind for one in Folders([tmp_path], SAMPLE).listing()}
    assert kinds >= {"corpus", "tokenizer", "tokens", "run", "task", "head-start"}
    assert not [path for path in SAMPLE.rglob("*") if path.is_file() and b"/tmp/" in path.read_bytes()]


def test_corpus_tokens_and_models_are_one_chain() -> None:
    tokens = tokens_manifest(SAMPLE / "tokens")
    assert tokens["tokenizer_sha256"] == open_tokenizer(SAMPLE / "tokenizer").sha256
    funnel = json.loads((SAMPLE / "corpus" / "manifest.json").read_text(encoding="utf-8"))["funnel"]
    leaked = tokens["leaked"]["documents"]
    assert funnel[-1]["documents"] == leaked + sum(one["documents"] for one in tokens["splits"].values())
    for run in ("decoder", "encoder"):
        assert load_any(SAMPLE / run).tokenizer.sha256 == tokens["tokenizer_sha256"]


def test_the_shipped_weights_reach_the_loss_that_the_run_wrote() -> None:
    """In bfloat16, read anew over the held-out text, they are what the last evaluation measured."""
    loaded = load_any(SAMPLE / "decoder")
    evaluations = [one for one in read_metrics(SAMPLE / "decoder") if one["kind"] == "evaluation"]
    recipe = PretrainRecipe.load(SAMPLE / "decoder" / "recipe.yaml", [])
    recipe = recipe.model_copy(update={"tokens": SAMPLE / "tokens"})
    loader = DataLoader(recipe, read_vocabulary(loaded.tokenizer, None))
    try:
        batch, _ = loader.evaluation()
    finally:
        loader.close()
    with torch.no_grad():
        loss = float(loss_sum(loaded.model, batch)) / len(batch.targets)
    assert len(batch.targets) == evaluations[-1]["targets"]
    assert loss == pytest.approx(evaluations[-1]["loss"], abs=0.02)
    first = evaluations[0]["loss"]
    assert first == pytest.approx(torch.tensor(1024.0).log().item(), abs=0.05)
    assert evaluations[-1]["loss"] < first - 2
