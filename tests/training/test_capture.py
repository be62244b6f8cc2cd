"""Captures: what is shown is what was computed, and the run does not notice."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headstart.models.transformer import Block
from headstart.objectives.batch import loss_sum
from headstart.tokenizer.folder import open_tokenizer
from headstart.training import control, loop, run_folder
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.monitoring import capture


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


def losses(run: Path) -> list[tuple]:
    return [
        (event["step"], event["loss"], event["gradient_norm"], event["batch"])
        for event in read_metrics(run)
        if event["kind"] == "step"
    ]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("masked", {}),
        ("next-sentence", {}),
        ("masked", {"model": {"family": "bert"}}),
        ("causal", {"precision": "bfloat16"}),
        ("causal", {"model": {"family": "llama", "kv_heads": 2}}),
        ("causal", {"model": {"family": "gpt2"}, "checkpoint_activations": True}),
        ("prefix", {}),
        ("span-corruption", {}),
        ("denoising", {}),
        ("denoising", {"model": {"family": "transformer-2017"}}),
    ],
)
def test_a_capture_shows_the_batch_and_changes_nothing(
    engine_recipe, tmp_path, monkeypatch, kind, changes
) -> None:
    recipe = engine_recipe(kind, steps=4, checkpoint_every=4, **changes)
    pretrain(recipe, tmp_path / "plain")
    run, update, seen = tmp_path / "run", loop.Run.update, []

    def captured(self):
        if self.step == 1:
            control.send(run, "capture")
        if self.step == 2:
            batch = self.trainer.data.batch(self.step).rows(0, capture.ROWS)
            self.model.eval()
            with torch.no_grad():
                pairless = capture.replace(batch, pair_positions=None)
                seen.append((batch, float(loss_sum(self.model, pairless)) / len(batch.targets), self.model))
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "update", captured)
        pretrain(recipe, run)
    assert losses(run) == losses(tmp_path / "plain")
    for name in ("model/model.safetensors", "checkpoints/step-4/optimizer.safetensors"):
        assert (run / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()

    ((batch, loss, model),) = seen
    assert not any(module._forward_hooks for module in model.modules())
    (folder,) = (run / "captures").iterdir()
    assert folder.name == "step-000003"
    facts = json.loads((folder / "capture.json").read_text())
    tensors = load_file(folder / "tensors.safetensors")
    tokenizer = open_tokenizer(recipe.tokens)
    assert facts["ids"] == batch.ids.tolist()
    assert facts["tokens"][1] == [tokenizer.token_text(token) for token in batch.ids[1].tolist()]
    assert facts["loss"] == pytest.approx(loss, rel=1e-6)
    assert ("source" in facts) == (batch.source is not None)
    assert torch.equal(tensors["positions"], batch.positions)
    assert float(tensors["loss"].mean()) == pytest.approx(loss, rel=1e-2 if "precision" in changes else 1e-5)

    blocks = [module for module in model.modules() if isinstance(module, Block)]
    crossed = sum(block.cross_attention is not None for block in blocks)
    maps = {name: tensor for name, tensor in tensors.items() if name.startswith("attention.")}
    assert len(maps) == len(blocks) + crossed
    assert sum(name.endswith(".cross") for name in maps) == crossed
    stack = "decoder" if model.decoder is not None else "encoder"
    layers = len((model.decoder or model.encoder).blocks)
    for name in ("embedding", *range(layers), *(f"{layer}.self" for layer in range(layers))):
        assert tensors[f"norm.{stack}.{name}"].shape == batch.ids.shape
    for row, answers in enumerate(tensors["top"].tolist()):
        assert facts["top"][row] == [tokenizer.token_text(token) for token in answers]
    right = tensors["top"] == batch.targets[:, None]
    assert torch.allclose(-tensors["top_logprobs"][right], tensors["loss"][right.any(1)], atol=1e-4)
    measured = [e["step"] for e in read_metrics(run) if e["kind"] == "statistics"]
    assert measured == [3], "the captured step's gradients and updates are told"
    for weights in maps.values():
        rows = weights.sum(-1)
        assert weights.shape[:2] == (2, 4)
        assert (weights >= 0).all()
        assert ((rows - 1).abs() < 2e-2).all()
    if batch.source is None:
        apart = batch.segments[:, :, None] != batch.segments[:, None, :]
        real = (batch.segments >= 0)[:, :, None]
        for weights in maps.values():
            assert float((weights * (apart & real)[:, None]).max()) < 1e-6, (
                "other documents are not looked at"
            )
            if kind == "causal":
                assert float(weights.triu(1).max()) < 1e-6, "nor is the future"


def test_a_capture_that_fails_leaves_the_model_as_it_was(engine_recipe, tmp_path, monkeypatch) -> None:
    run, update, models = tmp_path / "run", loop.Run.update, []

    def captured(self):
        models.append(self.model)
        self.capture_next = self.step == 1
        return update(self)

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop.Run, "update", captured)
    monkeypatch.setattr(capture, "loss_sum", failing)
    pretrain(engine_recipe(steps=3), run)
    assert not any(module._forward_hooks for module in models[0].modules())
    assert not (run / "captures").exists()
    (note,) = [event for event in read_metrics(run) if event["kind"] == "note"]
    assert note["text"] == "the capture could not be written (No space left on device); the run goes on"
