"""What this machine is and how fast it multiplies matrices, measured, never looked up."""

import ctypes
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F

from headstart.errors import HeadstartError, nearest
from headstart.workers import available_cores

# bfloat16 must be this much faster than float32 before it is worth its rounding.
WORTHWHILE = 1.3
PRECISIONS = ("auto", "float32", "bfloat16")
"""What a model computes in; its weights are always float32."""


class Gpu(TypedDict):
    """The GPUs of a machine, which are alike."""

    name: str
    number: int
    memory_gb: float
    gemm_gflops: dict[str, float]


class Machine(TypedDict, total=False):
    """A machine: what it is, and how fast it multiplies matrices, measured. An old run may lack some."""

    cpu: str
    cores: int
    memory_gb: float
    gemm_gflops: dict[str, float]
    """By precision."""
    precision: Literal["float32", "bfloat16"]
    """Which one is worth training in."""
    torch: str
    python: str
    platform: str
    gpu: Gpu


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step instead of giving it back to the system.

    A step on a CPU frees and asks for the same large tensors again, and every page that comes from the
    system is zeroed first: keeping them made steps of the quickstart's models 1.5 times faster. Does
    nothing where the library is not glibc.
    """
    most_mapped, trim_threshold = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD in malloc.h
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "mallopt"):
        library.mallopt(most_mapped, 0)
        library.mallopt(trim_threshold, 2**31 - 1)


def memory_bytes(gpu: bool) -> int:
    """Bytes that there are, of a GPU or of the machine."""
    if gpu and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gemm_gflops(dtype: torch.dtype, device: str = "cpu", seconds: float = 0.4) -> float:
    """The best measured rate of a matrix product, in GFLOP/s: `[2048, 512] x [512, 1024]` on all threads of
    a processor, `[8192, 8192] x [8192, 8192]` of random numbers on a GPU."""
    rows, inner, columns = (2048, 512, 1024) if device == "cpu" else (8192, 8192, 8192)
    left, right = (torch.randn(size, inner, device=device).to(dtype) for size in (rows, columns))

    def once() -> float:
        started = time.perf_counter()
        F.linear(left, right)
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    for _ in range(2):
        once()
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        best = min(best, once())
    return 2 * rows * inner * columns / best / 1e9


def describe_machine() -> Machine:
    """Processor, memory, versions, measured product rates, and the precision that they suggest; the same of a
    GPU where there is one."""
    rates = {"float32": gemm_gflops(torch.float32), "bfloat16": gemm_gflops(torch.bfloat16)}
    machine: Machine = {
        "cpu": processor(),
        "cores": available_cores(),
        "memory_gb": round(memory_bytes(gpu=False) / 1e9, 1),
        "gemm_gflops": {name: round(rate, 1) for name, rate in rates.items()},
        "precision": "bfloat16" if rates["bfloat16"] > WORTHWHILE * rates["float32"] else "float32",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if torch.cuda.is_available():
        machine["gpu"] = _describe_gpu()
    return machine


def _describe_gpu() -> Gpu:
    rates = {kind: gemm_gflops(getattr(torch, kind), "cuda") for kind in ("float32", "bfloat16")}
    return {
        "name": torch.cuda.get_device_name(),
        "number": torch.cuda.device_count(),
        "memory_gb": round(memory_bytes(gpu=True) / 1e9, 1),
        "gemm_gflops": {name: round(rate, 1) for name, rate in rates.items()},
    }


def dtype_named(name: str) -> torch.dtype:
    """The dtype of that name; `auto` measures whether bfloat16 is worth its rounding on this machine."""
    if name not in PRECISIONS:
        raise HeadstartError(f"there is no precision {name!r}{nearest(name, PRECISIONS)}")
    found: torch.dtype = getattr(torch, describe_machine()["precision"] if name == "auto" else name)
    return found


def processor() -> str:
    """The processor's name, as it gives it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def source_commit() -> str | None:
    """The commit of the checkout that this code runs from, `-dirty` where files differ; None if installed."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    versions = {}
    for name in (
        "headstart",
        "torch",
        "numpy",
        "tokenizers",
        "tiktoken",
        "resiliparse",
        "scikit-learn",
    ):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def peak_memory(device: torch.device) -> int:
    """The most memory that this process has had so far, in bytes; on a GPU, that of the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
