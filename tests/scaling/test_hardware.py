"""The table of accelerators: names as tools print them, and figures that belong together."""

import pytest

from headstart.errors import HeadstartError
from headstart.scaling.hardware import DEVICES, device_named


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
    ],
)
def test_names_of_tools_are_known(said: str, meant: str) -> None:
    assert device_named(said).name == meant


@pytest.mark.parametrize("name", [*DEVICES, *map(str.lower, DEVICES)])
def test_every_device_is_known_by_its_own_name(name: str) -> None:
    assert device_named(name).name.lower() == name.lower()


def test_another_memory_is_another_device() -> None:
    with pytest.raises(HeadstartError, match="not in the table"):
        device_named("NVIDIA H100 40GB HBM3")


def test_figures_belong_together() -> None:
    """What every sheet of the last ten years has in common, so that a slip of a digit or a unit is seen."""
    for device in DEVICES.values():
        assert 50 < device.flops / device.bandwidth < 600, device.name
        assert device.link <= device.bandwidth
        assert device.network <= device.link or device.name.endswith("PCIe") or device.node < 8, device.name
    assert DEVICES["TPU v5p"].link == 600e9
    assert DEVICES["TPU v5e"].link == 200e9
    assert DEVICES["TPU v4"].link == 300e9
