"""How `cpu_decoder.cpp` is compiled, and for which processors a wheel has it compiled.

Nothing but the standard library is imported: the build of a wheel reads this file too.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("cpu_decoder.cpp")
SHIPPED = Path(__file__).with_name("compiled")
"""Where a wheel has the compiled variants; elsewhere there is no such folder."""
MATHEMATICS = ("-fno-math-errno", "-fno-trapping-math")  # nobody reads errno; loops become vector code
ROUNDING = "-ffp-contract=fast"  # every product of a sum is a fused multiply-add, in all loops alike
FLAGS = ("-std=c++17", "-O3", "-fopenmp", *MATHEMATICS, ROUNDING, "-Wno-psabi", "-shared", "-fPIC")


@dataclass(frozen=True)
class Variant:
    """The code for processors that have some instructions."""

    name: str
    machine: str
    options: tuple[str, ...]
    """Of the compiler."""
    needs: frozenset[str] = frozenset()
    """Of the flags in `/proc/cpuinfo`."""


_V3 = frozenset({"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
VARIANTS = (
    Variant("x86-64-v4-bf16", "x86_64", ("-march=x86-64-v4", "-mavx512bf16"), _V4 | {"avx512_bf16"}),
    Variant("x86-64-v4", "x86_64", ("-march=x86-64-v4",), _V4),
    Variant("x86-64-v3", "x86_64", ("-march=x86-64-v3",), _V3),
    Variant("x86-64", "x86_64", ("-march=x86-64",)),
    Variant("armv8-a", "aarch64", ("-march=armv8-a",)),
)
"""Of one machine the fastest first. A wheel for Linux has those of the machine that it is built on."""


def processor_flags() -> frozenset[str]:
    """What the processor can, as Linux says it; elsewhere nothing is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    said = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return frozenset(said[0].split()) if said else frozenset()


def shipped_library() -> Path | None:
    """The fastest variant that the wheel has and this processor runs; None: there is none."""
    flags = processor_flags()
    for variant in VARIANTS:
        library = SHIPPED / f"{variant.name}.so"
        if variant.machine == platform.machine() and variant.needs <= flags and library.exists():
            return library
    return None


def compile_command(compiler: Sequence[str], options: Sequence[str], library: Path) -> list[str]:
    """What compiles the code to a library."""
    return [*compiler, *FLAGS, *options, "-o", str(library), str(SOURCE)]
