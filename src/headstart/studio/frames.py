"""Tensors as bytes: what a browser reads as typed arrays without parsing numbers.

A frame is a little-endian `u32` N, N bytes of JSON padded so that 4 + N is a multiple of 8, and the payload.
The JSON has its own fields and `tensors: [{name, dtype, shape, at, scale?}]`; every tensor begins at a
multiple of 8 behind the header. What was `uint8` with a scale is its value times that scale.
"""

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

import numpy as np
import orjson

MEDIA_TYPE = "application/vnd.headstart.tensors"
DTYPES = ("uint8", "int32", "float32", "float64")


class Looked(NamedTuple):
    """What a look at a model, a run or a corpus found."""

    fields: Mapping[str, Any]
    """As JSON has them."""
    tensors: Mapping[str, np.ndarray]


class Described(TypedDict):
    """Where a tensor lies in a frame."""

    name: str
    dtype: str
    shape: list[int]
    at: int
    """Bytes behind the header."""


def encode(fields: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """A frame of fields and tensors by name."""
    described: list[Described] = []
    parts: list[bytes] = []
    place = 0
    for name, tensor in tensors.items():
        assert tensor.dtype.name in DTYPES, f"{name} is {tensor.dtype}"
        content = np.ascontiguousarray(tensor).tobytes()
        described.append({"name": name, "dtype": tensor.dtype.name, "shape": list(tensor.shape), "at": place})
        parts.append(content + bytes(-len(content) % 8))
        place += len(parts[-1])
    header = orjson.dumps(
        {**fields, "tensors": described}, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    )
    header += b" " * (-(4 + len(header)) % 8)
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def decode(frame: bytes) -> Looked:
    """The fields and the tensors of a frame, as the browser reads them."""
    (size,) = struct.unpack_from("<I", frame)
    fields = orjson.loads(frame[4 : 4 + size])
    tensors = {}
    for one in fields.pop("tensors"):
        count = int(np.prod(one["shape"]))
        start = 4 + size + one["at"]
        tensors[one["name"]] = np.frombuffer(frame, one["dtype"], count, start).reshape(one["shape"])
    return Looked(fields, tensors)


def quantised(weights: np.ndarray) -> np.ndarray:
    """Weights from 0 to 1 as `uint8`, in steps of 1/255: off by 0.002 at most."""
    return np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8)
