"""Accelerators as their makers describe them, and what a run on them takes in time, energy and money."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

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


GOOGLE = "Google's page"
NVIDIA = "the dense rate, memory and links in NVIDIA's dgxc-benchmarking"
AMD = "AMD's ROCm documentation"
"""What figures were compared with; of most devices the maker's sheet could not be read."""


def _device(
    name: str, tflops: float, gb: float, bandwidth: float, link: float, network: float, node: int,
    watts: float, source: str, compared: str = "",
) -> Hardware:  # fmt: skip
    """Units of data sheets: TFLOP/s, GB, GB/s."""
    seen = f"compared with {compared} on 30 November 2026" if compared else "not compared with it"
    figures = (tflops * TERA, gb * GB, bandwidth * GB, link * GB, network * GB)
    return Hardware(name, *figures, node, watts, f"{source}; {seen}")


GIB = 2**30 / GB
"""Of makers that state binary units."""

DEVICES = {
    device.name: device
    for device in (
        _device("V100", 125, 32, 900, 150, 6.25, 8, 300, "NVIDIA V100 SXM2 data sheet; float16; DGX-1"),
        _device("V100 PCIe", 112, 32, 900, 16, 12.5, 4, 250, "NVIDIA V100 PCIe data sheet; float16; PCIe 3"),
        _device("V100-16GB PCIe", 112, 16, 900, 16, 12.5, 4, 250,
                "NVIDIA V100 PCIe data sheet; float16; PCIe 3"),
        _device("V100-16GB", 125, 16, 900, 150, 6.25, 8, 300, "NVIDIA V100 SXM2 data sheet; float16; DGX-1"),
        _device("A100", 312, 80, 2039, 300, 25, 8, 400, "NVIDIA A100 80GB SXM data sheet; DGX A100"),
        _device("A100-40GB", 312, 40, 1555, 300, 25, 8, 400, "NVIDIA A100 40GB SXM data sheet; DGX A100"),
        _device("A100-40GB PCIe", 312, 40, 1555, 32, 25, 8, 250, "NVIDIA A100 40GB PCIe data sheet; PCIe 4"),
        _device("A100 PCIe", 312, 80, 1935, 32, 25, 8, 300, "NVIDIA A100 80GB PCIe data sheet; PCIe 4"),
        _device("H100", 989.4, 80, 3350, 450, 50, 8, 700, "NVIDIA H100 SXM data sheet; DGX H100", NVIDIA),
        _device("H100 PCIe", 756, 80, 2000, 64, 50, 8, 350, "NVIDIA H100 PCIe data sheet; PCIe 5",
                "the power in a copy of NVIDIA's product brief PB-11133"),
        _device(
            "H100 NVL", 835.5, 94, 3900, 300, 50, 2, 400, "NVIDIA H100 data sheet; NVLink bridge between two"
        ),
        _device("H200", 989.4, 141, 4800, 450, 50, 8, 700, "NVIDIA H200 SXM data sheet; DGX H200"),
        _device("H200 NVL", 835.5, 141, 4800, 450, 50, 4, 600, "NVIDIA H200 data sheet; bridge of four"),
        _device("B200", 2250, 180, 7700, 900, 50, 8, 1000,
                "NVIDIA DGX B200 data sheet, an eighth of it", NVIDIA),
        _device("B300", 2250, 270, 7700, 900, 100, 8, 1100,
                "NVIDIA HGX B300 data sheet, an eighth of it", NVIDIA),
        _device("GB200", 2500, 186, 8000, 900, 50, 72, 1200, "NVIDIA GB200 NVL72 page, a 72nd of it",
                f"{NVIDIA}, which has 2,450 TFLOP/s"),
        _device("GB300", 2500, 279, 8000, 900, 100, 72, 1400, "NVIDIA GB300 NVL72 page, a 72nd of it",
                f"{NVIDIA}, which has 2,450 TFLOP/s"),
        _device("MI250X", 383, 128, 3277, 400, 25, 8, 560, "AMD Instinct MI250X data sheet; both dies"),
        _device("MI300X", 1307.4, 192, 5300, 448, 50, 8, 750,
                "AMD Instinct MI300X data sheet", f"rate and memory in {AMD}"),
        _device("MI325X", 1307.4, 256, 6000, 448, 50, 8, 1000,
                "AMD Instinct MI325X data sheet", f"the memory in {AMD}"),
        _device("MI350X", 2306.9, 288, 8000, 537.6, 50, 8, 1000, "AMD Instinct MI350X data sheet"),
        _device("MI355X", 2516.6, 288, 8000, 537.6, 50, 8, 1400, "AMD Instinct MI355X data sheet"),
        _device("TPU v3", 123, 32 * GIB, 900, 328, 328, 1024, 262, "Google Cloud TPU v3 docs; 4 x 656 Gb/s",
                f"{GOOGLE}, whose all-reduce of a pod is 332 GB/s a chip"),
        _device("TPU v4", 275, 32 * GIB, 1200, 300, 300, 4096, 192,
                "Google Cloud TPU v4 docs; 6 x 50 GB/s of Jouppi et al. 2023, arXiv 2304.01433",
                f"{GOOGLE}, whose all-reduce of a pod is 269 GB/s a chip"),
        _device("TPU v5e", 197, 16, 819, 200, 200, 256, 0, "Google Cloud TPU v5e docs; 1,600 Gb/s", GOOGLE),
        _device("TPU v5p", 459, 95 * GIB, 2765, 600, 600, 8960, 0,
                "Google Cloud TPU v5p docs; 4,800 Gb/s", GOOGLE),
        _device("TPU v6e", 918, 32 * GIB, 1638, 400, 400, 256, 0,
                "Google Cloud TPU v6e docs; 800 GB/s in both directions", GOOGLE),
        _device("TPU7x", 2307, 192 * GIB, 7380, 600, 600, 9216, 0,
                "Google Cloud TPU7x docs; 1,200 GB/s in both directions",
                f"rate, memory and pod on {GOOGLE}"),
        _device("RTX 3090", 71, 24, 936, 32, 1.25, 4, 350, "NVIDIA GA102 white paper; PCIe 4"),
        _device("RTX 4090", 165.2, 24, 1008, 32, 1.25, 4, 450, "NVIDIA Ada white paper; PCIe 4"),
        _device("L40S", 362, 48, 864, 32, 12.5, 8, 350, "NVIDIA L40S data sheet; PCIe 4"),
        _device("L4", 121, 24, 300, 32, 12.5, 8, 72, "NVIDIA L4 data sheet; PCIe 4"),
        _device("T4", 65, 16, 320, 16, 1.25, 4, 70, "NVIDIA T4 data sheet; float16, PCIe 3"),
    )
}  # fmt: skip
"""`link` is all that a device sends to its neighbours at once; of a TPU the documented rate of a chip."""

_MAKERS = re.compile(r"\b(nvidia|amd|instinct|tesla|geforce|google|cloud)\b|\(.*\)", re.IGNORECASE)
_FORM = re.compile(r"[\s_-]*(sxm\d?(\s+ac)?|oam|pcie)(?![a-z\d])", re.IGNORECASE)
_MEMORY = re.compile(r"[\s_-]*(?:(\d+)\s?gi?b)?[\s_-]*(?:hbm\d?e?)?$", re.IGNORECASE)
SMALLER = {("A100", "40"): "A100-40GB", ("A100 PCIe", "40"): "A100-40GB PCIe"}
SMALLER |= {("V100", "16"): "V100-16GB", ("V100 PCIe", "16"): "V100-16GB PCIe"}
"""Of one name and another memory than usual."""
OTHER_NAMES = {"tpuv5lite": "TPU v5e", "trillium": "TPU v6e", "tpuv6lite": "TPU v6e", "tpuv5": "TPU v5p"}
OTHER_NAMES |= {"tpuv7x": "TPU7x", "tpuv7": "TPU7x", "ironwood": "TPU7x"}
OTHER_NAMES |= {version: f"TPU {version}" for version in ("v3", "v4", "v5e", "v5p", "v6e")}


def device_named(name: str, flops: float | None = None, memory: float | None = None) -> Hardware:
    """A device of the table, or an unknown one of the given FLOP/s and bytes.

    The names of `nvidia-smi`, `rocm-smi` and JAX are known: `NVIDIA H100 80GB HBM3`, `Tesla V100-SXM2-16GB`,
    `TPU v5 lite`.

    Args:
        flops: instead of those of the table.
        memory: likewise.

    Raises:
        HeadstartError: an unknown device without its figures.
    """
    found = _known(name)
    if found is not None:
        given = {"FLOP/s": flops, "memory": memory}
        said = " and ".join(what for what, value in given.items() if value is not None)
        return replace(
            found,
            flops=flops or found.flops,
            memory=memory or found.memory,
            source=f"{found.source}; {said} as given" if said else found.source,
        )
    if flops is None or memory is None:
        raise HeadstartError(
            f"the hardware {name!r} is not in the table{nearest(name, DEVICES)}; or say what it can do: "
            "--flops (dense bfloat16 FLOP/s, as in 500T) and --memory (as in 80GB)"
        )
    # Nothing is known of its links: those of a PCIe 4 card and a 100 Gb/s network.
    return Hardware(name, flops, memory, memory * 25, 32 * GB, 12.5 * GB, 8, 0.0, "as given")


def _known(name: str) -> Hardware | None:
    """The device that a name means, with or without maker, form factor and memory, or in the plural."""
    plain = {_squeezed(key): key for key in DEVICES} | OTHER_NAMES
    named = _MAKERS.sub("", name).strip()
    form = " PCIe" if re.search("pcie", named, re.IGNORECASE) else ""
    bare = _FORM.sub("", named)
    ending = _MEMORY.search(bare)
    size = (ending[1] or "") if ending else ""
    stem = bare[: ending.start()] if ending else bare
    for key in (bare + form, stem + form, stem.removesuffix("s") + form):
        known = plain.get(_squeezed(key))
        if known is not None:
            smaller = SMALLER.get((known, size))
            if smaller is None and size and not _fits(DEVICES[known], float(size)):
                return None
            return DEVICES[smaller or known]
    return None


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _fits(device: Hardware, gigabytes: float) -> bool:
    """Whether a device has about that memory: names round it."""
    return abs(device.memory / GB / gigabytes - 1) < 0.1


@dataclass(frozen=True)
class Bill:
    """What a run takes, from the best to the worst utilisation that comparable runs reached."""

    DERIVED: ClassVar = ("device_hours",)

    flops: float
    """Model FLOPs: no recomputation."""
    devices: int
    utilisation: tuple[float, float]
    """MFU, worst and best."""
    sources: list[str]
    """From the run of worst to that of best utilisation; on other hardware where nobody published one."""
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
    ordered = sorted(runs, key=lambda run: run.utilisation)
    published = [f"{run.name} on {run.hardware}: {run.utilisation:.1%} ({run.source})" for run in ordered]
    return Bill(
        flops, devices, (low, high), ["as given"] if utilisation else published,
        seconds, (energy[0], energy[1]) if hardware.watts else None, price,
    )  # fmt: skip
