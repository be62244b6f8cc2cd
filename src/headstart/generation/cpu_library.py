"""`cpu_decoder.cpp` as a library, and the structures that it reads.

A wheel for Linux has it compiled for the usual processors. Elsewhere it is compiled for this one when it is
first used, and kept in the user's cache folder.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import threading
import time
from functools import cache
from pathlib import Path

from headstart.folder import atomic
from headstart.generation.cpu_variants import FLAGS, SOURCE, compile_command, shipped_library

LINE = 64
"""Bytes of a cache line, as in cpu_decoder.cpp."""
BLOCK = 64
"""Tokens of a text whose keys and values lie together, as there."""

log = logging.getLogger(__name__)
_compiling = threading.Lock()


@cache
def compiled() -> ctypes.CDLL | None:
    """The compiled code, or None, after a line in the log, where there can be none."""
    with _compiling:
        try:
            library = ctypes.CDLL(str(shipped_library() or _compile()))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reason = getattr(error, "stderr", None) or repr(error)
            log.warning(
                "text is written at PyTorch's speed, a third of what this processor can: cpu_decoder.cpp was "
                "not compiled (%s); install g++, or name a C++ compiler with OpenMP in CXX",
                reason.strip().splitlines()[0],
            )
            return None
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    library.decode.restype = library.sizes.restype = None
    library.decode.argtypes = [pointer, whole, *[pointer] * 4, whole, pointer, ctypes.c_int, pointer]
    sizes = (ctypes.c_int64 * (len(STRUCTURES) + 1))()
    library.sizes(sizes)
    expected = [*map(ctypes.sizeof, STRUCTURES), BLOCK]
    assert list(sizes) == expected, f"cpu_decoder.cpp has structures of {list(sizes)} bytes, not {expected}"
    return library


def _compile() -> Path:
    """Compile for this processor, unless that is done already: the library in the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join((*FLAGS, _processor())).encode()).hexdigest()[:16]
    library = home / "headstart" / f"cpu_decoder-{key}.so"
    if not library.exists():
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        started = time.monotonic()
        with atomic(library) as temporary:
            command = compile_command(compiler, ("-march=native",), temporary)
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        log.warning(
            "cpu_decoder.cpp was compiled for this processor, once, in %.0f s", time.monotonic() - started
        )
    return library


def _processor() -> str:
    """What `-march=native` depends on: homes are shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


# --- The structures of cpu_decoder.cpp, field by field in the same order ----------------------------------


class Matrix(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("weights", "scales", "bias")],
        *[(name, ctypes.c_int64) for name in ("outputs", "inputs", "kind")],
    ]


class Norm(ctypes.Structure):
    _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p)]


class Norms(ctypes.Structure):
    _fields_ = [(name, Norm) for name in ("before", "output", "after")]


class BlockWeights(ctypes.Structure):
    _fields_ = [
        *[(name, Norms) for name in ("attention", "feedforward")],
        *[(name, Norm) for name in ("query", "key")],
        *[(name, Matrix) for name in ("query_key_value", "out", "up", "down")],
        *[(name, ctypes.c_int64) for name in ("window", "rotary")],
    ]


class Decoder(ctypes.Structure):
    _fields_ = [
        ("blocks", ctypes.POINTER(BlockWeights)),
        ("final_norm", Norm),
        ("output", Matrix),
        *[(name, ctypes.c_int64) for name in ("layers", "width", "heads", "kv_heads", "head_width")],
        *[(name, ctypes.c_int64) for name in ("feedforward_width", "rotary_width", "rms", "parallel")],
        *[(name, ctypes.c_int64) for name in ("norm_by_head", "gated", "activation", "cache_kind", "pairs")],
        *[(name, ctypes.c_float) for name in ("epsilon", "attention_scale", "attention_cap", "output_cap")],
    ]


class Row(ctypes.Structure):
    _fields_ = [("blocks", ctypes.c_void_p), ("position", ctypes.c_int64)]


STRUCTURES = (Matrix, Norm, Norms, BlockWeights, Decoder, Row)
