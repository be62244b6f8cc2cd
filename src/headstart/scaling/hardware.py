"""Accelerators as their makers describe them, and what a run on them takes in time, energy and money."""

import re
from dataclasses import dataclass

from headstart.errors import HeadstartError, nearest
from headstart.scaling.published import RUNS, PublishedRun

GB, TB, TERA = 1e9, 1e12, 1e12
OVERHEAD_OF_BUILDINGS = 1.1
"""Power of a data centre over that of its machines (PUE), as Touvron et al. 2023 (section 6) assume."""


@dataclass(frozen=True)
class Hardware:
    """One device, and how it is joined to others."""

    name: str
    flops: float
    """FLOP/s in bfloat16 (float16 where there is none), dense."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second from its memory."""
    link: float
    """Bytes a second to its neighbours in a machine, each way."""
    network: float
    """Bytes a second to other machines, each way; as the maker's own systems are built."""
    node: int
    """Devices in a machine, or joined by `link`."""
    watts: float
    """As rated; 0: not published."""
    source: str


def _device(
    name: str, tflops: float, gb: float, bandwidth: float, link: float, network: float, node: int,
    watts: float, source: str,
) -> Hardware:  # fmt: skip
    """Units of data sheets: TFLOP/s, GB, GB/s."""
    return Hardware(
        name, tflops * TERA, gb * GB, bandwidth * GB, link * GB, network * GB, node, watts, source
    )


DEVICES = {
    device.name: device
    for device in (
        _device("V100", 125, 32, 900, 150, 12.5, 8, 300, "NVIDIA V100 SXM2 data sheet; float16"),
        _device("A100", 312, 80, 2039, 300, 25, 8, 400, "NVIDIA A100 80GB SXM data sheet; DGX A100"),
        _device("A100-40GB", 312, 40, 1555, 300, 25, 8, 400, "NVIDIA A100 40GB SXM data sheet; DGX A100"),
        _device("H100", 989.4, 80, 3350, 450, 50, 8, 700, "NVIDIA H100 SXM data sheet; DGX H100"),
        _device("H200", 989.4, 141, 4800, 450, 50, 8, 700, "NVIDIA H200 SXM data sheet; DGX H200"),
        _device("B200", 2250, 180, 8000, 900, 50, 8, 1000, "NVIDIA DGX B200 data sheet, an eighth of it"),
        _device("MI250X", 383, 128, 3277, 400, 25, 8, 560, "AMD Instinct MI250X data sheet; both dies"),
        _device("MI300X", 1307.4, 192, 5300, 448, 50, 8, 750, "AMD Instinct MI300X data sheet"),
        _device("TPU v3", 123, 32, 900, 82, 82, 1024, 262, "Google Cloud TPU v3 documentation"),
        _device("TPU v4", 275, 32, 1228, 150, 150, 4096, 192, "Google Cloud TPU v4 documentation"),
        _device("TPU v5e", 197, 16, 819, 100, 100, 256, 0, "Google Cloud TPU v5e documentation"),
        _device("TPU v5p", 459, 95, 2765, 300, 300, 8960, 0, "Google Cloud TPU v5p documentation"),
        _device("RTX 3090", 71, 24, 936, 32, 1.25, 4, 350, "NVIDIA GA102 white paper; PCIe 4"),
        _device("RTX 4090", 165.2, 24, 1008, 32, 1.25, 4, 450, "NVIDIA Ada white paper; PCIe 4"),
        _device("L40S", 362, 48, 864, 32, 12.5, 8, 350, "NVIDIA L40S data sheet; PCIe 4"),
        _device("L4", 121, 24, 300, 32, 12.5, 8, 72, "NVIDIA L4 data sheet; PCIe 4"),
        _device("T4", 65, 16, 320, 16, 1.25, 4, 70, "NVIDIA T4 data sheet; float16, PCIe 3"),
    )
}


def device_named(name: str, flops: float | None = None, memory: float | None = None) -> Hardware:
    """A device of the table, or an unknown one of the given FLOP/s and bytes.

    Raises:
        HeadstartError: an unknown device without its figures.
    """
    plain = {re.sub(r"[\s_-]", "", key).lower(): device for key, device in DEVICES.items()}
    found = plain.get(re.sub(r"[\s_-]|sxm\d?|80gb", "", name.lower()))
    if found is not None and flops is None and memory is None:
        return found
    if flops is None or memory is None:
        raise HeadstartError(
            f"the hardware {name!r} is not in the table{nearest(name, DEVICES)}; or say what it can do: "
            "--flops (dense bfloat16 FLOP/s, as in 500T) and --memory (as in 80GB)"
        )
    # Nothing is known of its links: those of a PCIe 4 card and a 100 Gb/s network.
    return Hardware(name, flops, memory, memory * 25, 32 * GB, 12.5 * GB, 8, 0.0, "as given")


@dataclass(frozen=True)
class Bill:
    """What a run takes, from the best to the worst utilisation that comparable runs reached."""

    flops: float
    """Model FLOPs: no recomputation."""
    devices: int
    utilisation: tuple[float, float]
    """MFU, worst and best."""
    sources: list[str]
    seconds: tuple[float, float]
    """Best and worst."""
    megawatt_hours: tuple[float, float] | None
    """At rated power, with the building's overhead; None where the power is unknown."""
    price: tuple[float, float] | None

    @property
    def device_hours(self) -> tuple[float, float]:
        best, worst = self.seconds
        return best * self.devices / 3600, worst * self.devices / 3600


def comparable(hardware: Hardware) -> list[PublishedRun]:
    """Published runs on the same hardware, or on any where nobody published one."""
    return [run for run in RUNS if run.hardware == hardware.name] or list(RUNS)


def bill(
    flops: float,
    hardware: Hardware,
    devices: int,
    utilisation: tuple[float, float] | None = None,
    price_an_hour: float | None = None,
) -> Bill:
    """Time, energy and price of so many model FLOPs.

    Args:
        utilisation: worst and best MFU; None: as comparable published runs had.
        price_an_hour: of one device, in any currency; None: no price.
    """
    runs = comparable(hardware)
    shares = [run.utilisation for run in runs]
    low, high = utilisation or (min(shares), max(shares))
    seconds = (flops / (devices * hardware.flops * high), flops / (devices * hardware.flops * low))
    hours = [each * devices / 3600 for each in seconds]
    energy = [hour * hardware.watts * OVERHEAD_OF_BUILDINGS / 1e6 for hour in hours]
    price = None if price_an_hour is None else (hours[0] * price_an_hour, hours[1] * price_an_hour)
    published = [f"{run.name}: {run.utilisation:.1%} ({run.source})" for run in runs]
    return Bill(
        flops, devices, (low, high), ["as given"] if utilisation else published,
        seconds, (energy[0], energy[1]) if hardware.watts else None, price,
    )  # fmt: skip
