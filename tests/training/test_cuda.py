"""What only a GPU can show; skipped where there is none."""

import shutil
from dataclasses import replace

import pytest
import torch

from headstart.models.parts import attention
from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.objectives import cross_entropy
from headstart.objectives.batch import to_device
from headstart.training.data_loader import DataLoader
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZES = {"vocab_size": 600, "layers": 2, "width": 128, "heads": 2, "kv_heads": 2}
SIZES |= {"feedforward_width": 192, "context": 64}


def off(whole: torch.Tensor, reference: torch.Tensor) -> float:
    """The distance from the reference over its size."""
    return float((whole.double().cpu() - reference.double().cpu()).norm() / reference.double().cpu().norm())


def segments_of(rows: int, tokens: int) -> torch.Tensor:
    begins = torch.rand(rows, tokens, generator=torch.Generator().manual_seed(1)) < 0.1
    return begins.long().cumsum(1) + 1000 * torch.arange(rows)[:, None]


@pytest.mark.parametrize(
    "family", ["headstart-encoder", "headstart-decoder", "gpt2", "gpt3", "llama", "bert"]
)
def test_documents_end_to_end_are_documents_behind_a_mask(family, monkeypatch) -> None:
    """States and gradients in bfloat16 are as near to float32's as with a mask."""
    assert attention.DOCUMENT_KERNEL is not None
    sizes = SIZES | {"kv_heads": 1 if family == "llama" else 2, "dropout": 0.0}
    config = make_config(family, sizes)
    ids, segments = torch.randint(0, 600, (4, 64)), segments_of(4, 64)
    direction = torch.randn(4, 64, 128, generator=torch.Generator().manual_seed(2))

    def run(dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        model = build(config, 0, dtype).to(device)
        states = model(ids.to(device), segments.to(device))
        (states.float() * direction.to(device)).sum().backward()
        return states.detach(), model.embedding.weight.grad

    right = run(torch.float32, "cpu")
    fast = run(torch.bfloat16, "cuda")
    monkeypatch.setattr(attention, "DOCUMENT_KERNEL", None)
    masked = run(torch.bfloat16, "cuda")
    for ours, theirs, reference in zip(fast, masked, right, strict=True):
        assert off(ours, reference) < 1.2 * off(theirs, reference) + 1e-4
        assert off(ours, reference) < 3e-2


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("z_loss", "smoothing"), [(0.0, 0.0), (1e-3, 0.1)])
def test_loss_in_chunks(compiled, z_loss, smoothing, monkeypatch) -> None:
    """Loss and gradients are those of float64 on the processor."""
    torch.manual_seed(0)
    states, weight = torch.randn(300, 64), torch.randn(1000, 64) / 8
    targets = torch.randint(0, 1000, (300,))
    monkeypatch.setattr(cross_entropy, "LARGE", 0)
    monkeypatch.setattr(cross_entropy, "GPU_CHUNK", 100_000)

    def run(device: str, dtype: torch.dtype, compiled: bool) -> list[torch.Tensor]:
        inputs = [x.to(device, dtype).requires_grad_() for x in (states, weight)]
        loss = cross_entropy.cross_entropy_sum(
            inputs[0], inputs[1], None, targets.to(device), z_loss, smoothing, compiled
        )
        loss.backward()
        return [loss.detach(), *(x.grad for x in inputs)]

    for ours, right in zip(
        run("cuda", torch.float32, compiled), run("cpu", torch.float64, False), strict=True
    ):
        assert off(ours, right) < 1e-4


OBJECTIVE = {
    "headstart-encoder": "masked",
    "headstart-decoder": "causal",
    "t5": "denoising",
    "bart": "denoising",
    "bert": "next-sentence",
}


@pytest.mark.parametrize("family", OBJECTIVE)
def test_a_run_on_a_gpu_goes_the_way_of_one_on_a_processor(family, tokens, tmp_path) -> None:
    recipe = PretrainRecipe.model_validate(
        {
            "tokens": tokens, "steps": 6, "context": 64, "rows": 8, "micro_rows": 4, "evaluate_every": 3,
            "checkpoint_every": 3, "model": {"family": family, "layers": 2, "width": 32, "heads": 4,
            "feedforward_width": 48}, "objective": {"kind": OBJECTIVE[family]},
        }
    )  # fmt: skip
    losses = {}
    for device in ("cpu", "cuda"):
        run = tmp_path / device
        pretrain(recipe.model_copy(update={"device": device}), run)
        losses[device] = [e["loss"] for e in read_metrics(run) if e["kind"] == "evaluation"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=2e-2)
    assert losses["cuda"][0] == pytest.approx(losses["cpu"][0], rel=1e-4)  # dropout is off in evaluation


@pytest.mark.parametrize("compile", [False, True])
def test_going_on_from_a_checkpoint_of_the_other_device(compile, tokens, tmp_path) -> None:
    recipe = PretrainRecipe.model_validate(
        {
            "tokens": tokens, "steps": 8, "context": 64, "rows": 8, "precision": "bfloat16",
            "checkpoint_every": 4, "evaluate_every": 4, "compile": compile, "optimiser": {"average": 0.9},
            "model": {"family": "headstart-decoder", "layers": 2, "width": 128, "heads": 2},
            "objective": {"kind": "causal"},
        }
    )  # fmt: skip
    whole = tmp_path / "whole"
    pretrain(recipe.model_copy(update={"device": "cuda"}), whole)
    moved = tmp_path / "moved"
    pretrain(recipe.model_copy(update={"device": "cpu"}), moved)
    (moved / "model" / "config.json").unlink()
    shutil.rmtree(sorted((moved / "checkpoints").iterdir())[-1])
    pretrain(recipe.model_copy(update={"device": "cuda"}), moved)
    ends = [[e["loss"] for e in read_metrics(run) if e["kind"] == "evaluation"][-1] for run in (whole, moved)]
    assert ends[0] == pytest.approx(ends[1], rel=5e-2)


def test_a_gpu_without_room_is_a_sentence(tokens, tmp_path) -> None:
    from headstart.errors import HeadstartError

    recipe = PretrainRecipe.model_validate(
        {"tokens": tokens, "steps": 2, "context": 64, "rows": 64, "micro_rows": 64, "device": "cuda",
         "model": {"family": "headstart-decoder", "layers": 2, "width": 128, "heads": 2},
         "objective": {"kind": "causal"}}
    )  # fmt: skip
    torch.cuda.empty_cache()
    _, all_of_it = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(20e6 / all_of_it)
    try:
        with pytest.raises(HeadstartError, match="lower micro_rows"):
            pretrain(recipe, tmp_path / "run")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_batches_on_a_gpu_are_the_batches(tokens) -> None:
    recipe = PretrainRecipe.model_validate({"tokens": tokens, "context": 64, "rows": 4})
    from headstart.objectives.vocabulary import read_vocabulary
    from headstart.tokenizer.folder import open_tokenizer

    feed = DataLoader(recipe, read_vocabulary(open_tokenizer(tokens)))
    batch = feed.batch(0)
    there = to_device(batch, torch.device("cuda"))
    back = replace(there, **{n: v.cpu() for n, v in vars(there).items() if isinstance(v, torch.Tensor)})
    feed.close()
    for name, value in vars(batch).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(back, name)), name
