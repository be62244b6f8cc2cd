"""Layouts use all devices, fit, and lose what the formulas say; bills come out near the published ones."""

import pytest

from headstart.errors import HeadstartError
from headstart.models.flops import flops_by_part
from headstart.models.registry import preset_config
from headstart.scaling.hardware import DEVICES, bill, comparable, device_named
from headstart.scaling.layout import USABLE, bubble, critical_batch, propose
from headstart.scaling.published import BILLS

H100 = device_named("H100")


def flops_per_token(preset: str, row: int = 8192) -> float:
    return sum(part.total for part in flops_by_part(preset_config(preset), 1, row).values()) / row


@pytest.mark.parametrize(
    ("preset", "devices", "row", "batch"),
    [
        ("llama-3-8b", 8, 8192, 1e6),
        ("llama-3-70b", 6144, 8192, 12.6e6),
        ("llama-3.1-405b", 8192, 8192, 16.8e6),
        ("llama-3.1-405b", 16_384, 131_072, 16.8e6),
        ("bert-large", 4, 512, 131_072),
    ],
)
def test_proposals_use_every_device_and_fit(preset: str, devices: int, row: int, batch: float) -> None:
    proposals = propose(preset_config(preset), H100, devices, row, batch)
    assert [p.utilisation for p in proposals] == sorted((p.utilisation for p in proposals), reverse=True)
    for proposal in proposals:
        assert proposal.layout.devices == devices
        assert proposal.layout.tensor <= H100.node
        assert proposal.memory.peak <= USABLE * H100.memory
        read = proposal.layout.data * proposal.micro_rows * proposal.micro_batches * row
        assert read == pytest.approx(batch, rel=0.25)
        assert 0.1 < proposal.utilisation < 0.65
        assert 0 <= sum(proposal.losses.values()) < 1


def test_405b_on_8192_gpus_is_laid_out_as_a_model_of_that_size_must_be() -> None:
    """Llama 3's table 4 reports tensor parallelism of 8 and 43 % of the peak."""
    best = propose(preset_config("llama-3.1-405b"), H100, 8192, 8192, 16.8e6)[0]
    assert best.layout.tensor == 8
    assert best.utilisation == pytest.approx(0.43, abs=0.08)


def test_what_cannot_fit_says_so() -> None:
    with pytest.raises(HeadstartError, match="does not fit on 4 x H100"):
        propose(preset_config("llama-3.1-405b"), H100, 4, 8192, 1e6)
    with pytest.raises(HeadstartError, match="cannot share a step"):
        propose(preset_config("llama-3-8b"), H100, 4096, 8192, 8192)


def test_the_bubble() -> None:
    assert bubble(1, 8) == 0
    assert bubble(4, 1) == pytest.approx(3 / 4)
    assert bubble(16, 16, 8) == pytest.approx(15 / 143)


def test_the_bills_of_llama_3_come_out_plausibly() -> None:
    """405B inside the range of published utilisation; the smaller ones' hours hold much beside training."""
    for published in BILLS:
        if published.hardware != "H100":
            continue
        preset = "llama-3.1-" + published.name.split()[-1].lower()
        best, worst = bill(flops_per_token(preset) * published.tokens, H100, 16_384).device_hours
        assert 0.3 * published.hours < worst < 1.2 * published.hours
        if "405B" in published.name:
            assert best < published.hours < worst


def test_bills_add_up() -> None:
    found = bill(3.6e18 * 989.4e12 / 1e15, H100, 64, utilisation=(0.2, 0.4), price_an_hour=2.0)
    assert found.seconds[1] == pytest.approx(2 * found.seconds[0])
    assert found.device_hours[0] == pytest.approx(3.6e3 / 0.4 / 3600)
    assert found.price == pytest.approx(tuple(2 * hours for hours in found.device_hours))
    assert found.megawatt_hours[0] == pytest.approx(found.device_hours[0] * 700 * 1.1 / 1e6)
    assert bill(1e20, H100, 8).price is None


def test_utilisation_comes_from_runs_on_the_same_hardware() -> None:
    assert {run.hardware for run in comparable(H100)} == {"H100"}
    assert len({run.hardware for run in comparable(DEVICES["L4"])}) > 1
    assert all(run.source and 0 < run.utilisation < 0.6 for run in comparable(DEVICES["L4"]))


def test_hardware_by_name() -> None:
    assert device_named("h100 SXM").name == "H100"
    assert device_named("a100-80GB").name == "A100"
    assert device_named("tpu-v4").name == "TPU v4"
    with pytest.raises(HeadstartError, match="--flops"):
        device_named("Gaudi9")
    own = device_named("Gaudi9", flops=1e15, memory=96e9)
    assert (own.flops, own.memory) == (1e15, 96e9)
    assert bill(1e20, own, 8).megawatt_hours is None


def test_batches_grow_as_the_loss_falls() -> None:
    assert critical_batch(2.0) == pytest.approx(7.4e6, rel=0.01)
    assert critical_batch(1.8) > critical_batch(2.0) > critical_batch(3.5)
