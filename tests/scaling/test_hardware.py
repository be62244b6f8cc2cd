"""The table of accelerators: names as tools print them, and figures that belong together."""

import pytest

from headstart.errors import HeadstartError
from headstart.scaling.hardware import DEVICES, bill, device_named


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("H100-SXM5-80GB", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100-40GB PCIe"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe"),
        ("Tesla V100-SXM2-16GB", "V100-16GB"),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("AMD Instinct MI325X", "MI325X"),
        ("TPU v5 lite", "TPU v5e"),
        ("tpu-v6e", "TPU v6e"),
        ("v5p", "TPU v5p"),
        ("TPU v5", "TPU v5p"),
        ("TPU7x", "TPU7x"),
        ("Tesla V100-PCIE-16GB", "V100-16GB PCIe"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("H100s", "H100"),
        ("L40S", "L40S"),
        ("NVIDIA H100 80GiB", "H100"),
    ],
)
def test_names_of_tools_are_known(said: str, meant: str) -> None:
    assert device_named(said).name == meant


@pytest.mark.parametrize("name", [*DEVICES, *map(str.lower, DEVICES)])
def test_every_device_is_known_by_its_own_name(name: str) -> None:
    assert device_named(name).name.lower() == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 40GB HBM3",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA A100-SXM-64GB",
        "GB200 NVL72",
        "v5p-128",
        "AMD Instinct MI300A",
    ],
)
def test_what_is_another_device_is_not_taken_for_a_known_one(name: str) -> None:
    with pytest.raises(HeadstartError, match="not in the table"):
        device_named(name)


def test_given_figures_take_the_place_of_those_of_the_table() -> None:
    table, given = device_named("H100"), device_named("H100", flops=800e12)
    assert (given.flops, given.memory, given.link) == (800e12, table.memory, table.link)
    assert "FLOP/s as given" in given.source
    both = device_named("H100", 800e12, 70e9)
    assert (both.memory, both.watts) == (70e9, table.watts)
    with pytest.raises(HeadstartError, match="--memory"):
        device_named("Gaudi9", flops=800e12)


def test_figures_belong_together() -> None:
    """What every sheet of the last ten years has in common, so that a slip of a digit or a unit is seen."""
    for device in DEVICES.values():
        assert 50 < device.flops / device.bandwidth < 600, device.name
        assert device.link <= device.bandwidth
        assert device.network <= device.link or device.name.endswith("PCIe") or device.node < 8, device.name
    assert DEVICES["TPU v5p"].link == 600e9
    assert DEVICES["TPU v5e"].link == 200e9
    assert DEVICES["TPU v4"].link == 300e9
    # What Google publishes of a whole pod, over its chips: all chips send at once.
    for name, chips, all_reduce in (
        ("TPU v3", 1024, 340e12),
        ("TPU v5e", 256, 51.2e12),
        ("TPU v6e", 256, 102.4e12),
    ):
        assert DEVICES[name].link == pytest.approx(all_reduce / chips, rel=0.02)
        assert DEVICES[name].node == chips


def test_every_figure_says_whether_it_was_compared() -> None:
    for device in DEVICES.values():
        assert "compared with" in device.source, device.name
    assert "30 November 2026" in DEVICES["H100"].source
    assert "not compared" in DEVICES["L4"].source


def test_a_bill_names_the_hardware_of_the_runs_that_it_is_made_by() -> None:
    same, other = bill(1e21, device_named("H100"), 8), bill(1e21, device_named("B200"), 8)
    assert all(" on H100: " in source for source in same.sources)
    assert "GPT-3 on V100: 21.3%" in other.sources[0]
    assert f"{other.utilisation[1]:.1%}" in other.sources[-1]
