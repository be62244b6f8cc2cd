"""Tensors that are split over processes (DTensors of torch.distributed), and whole ones, in the same words.

torch.distributed.tensor takes half a second to import, so it is imported only where a tensor is laid out. As
long as nobody has imported it, no tensor is a DTensor.
"""

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor, Placement


@dataclass(frozen=True)
class Extent:
    """Which block of a whole tensor a process has: `size` numbers along each dimension, from `offset` on."""

    shape: tuple[int, ...]
    """The shape of the whole tensor."""
    offset: tuple[int, ...]
    size: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Extent":
        """The block that is the whole tensor."""
        return cls(shape, (0,) * len(shape), shape)

    def slices(self, inside: "Extent | None" = None) -> tuple[slice, ...]:
        """The block as an index into the whole tensor, or into another block that contains it."""
        origin = (0,) * len(self.shape) if inside is None else inside.offset
        return tuple(
            slice(first - begin, first - begin + length)
            for first, length, begin in zip(self.offset, self.size, origin, strict=True)
        )

    def overlap(self, other: "Extent") -> "Extent":
        """The block that both have; of no numbers where they have nothing in common."""
        offset = tuple(map(max, self.offset, other.offset))
        ends = (
            min(a + m, b + n)
            for a, m, b, n in zip(self.offset, self.size, other.offset, other.size, strict=True)
        )
        size = tuple(max(0, end - begin) for begin, end in zip(offset, ends, strict=True))
        return Extent(self.shape, offset if all(size) else self.offset, size)

    @property
    def count(self) -> int:
        """How many numbers the block has."""
        return math.prod(self.size)


def is_split(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Whether a tensor is laid out over processes."""
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """What this process has of a tensor; changes to it change the tensor."""
    return tensor.to_local() if is_split(tensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """The whole tensor, in every process."""
    return tensor.full_tensor() if is_split(tensor) else tensor


def like(parameter: Tensor, whole: Tensor) -> Tensor:
    """A whole tensor, which every process has, laid out as a parameter is."""
    if not is_split(parameter):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)


def like_part(parameter: Tensor, part: Tensor) -> Tensor:
    """A tensor that is laid out as a parameter is, from what each process has of it."""
    if not is_split(parameter):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def layout_of(tensor: Tensor) -> object:
    """Equal for tensors that are laid out in the same way; None: the tensor is whole."""
    return (tensor.device_mesh, tuple(tensor.placements)) if is_split(tensor) else None


def mesh_of(tensor: Tensor) -> object:
    """The processes over which a tensor is laid out; None: the tensor is whole."""
    return tensor.device_mesh if is_split(tensor) else None


def split_over(tensor: Tensor) -> tuple[str, ...]:
    """The dimensions of the mesh over which a tensor is split."""
    if not is_split(tensor):
        return ()
    names = tensor.device_mesh.mesh_dim_names or ()
    return tuple(name for name, placement in zip(names, tensor.placements, strict=True) if _cuts(placement))


def _cuts(placement: "Placement") -> bool:
    """Whether a placement splits a tensor; `is_shard` is false for FSDP's cut inside another one."""
    return not (placement.is_replicate() or placement.is_partial())


def extent(tensor: Tensor) -> Extent:
    """The block of a tensor that this process has.

    A dimension of length n over m processes is cut as by `torch.chunk`: n / m each, rounded up. Where FSDP
    splits a dimension that tensor parallelism has split already, its placement is no `Shard`, and its cut is
    made inside the other one.

    Raises:
        AssertionError: torch has laid the tensor out in another way.
    """
    shape = tuple(tensor.shape)
    if not is_split(tensor):
        return Extent.whole(shape)
    from torch.distributed.tensor import Shard

    offset, size = [0] * len(shape), list(shape)
    place = tensor.device_mesh.get_coordinate()
    assert place is not None, "a process outside the mesh has no part of a tensor"
    cuts = list(zip(tensor.placements, place, tensor.device_mesh.shape, strict=True))
    for placement, rank, count in sorted(cuts, key=lambda cut: type(cut[0]) is not Shard):
        if not _cuts(placement):
            continue
        dimension: int = placement.dim  # type: ignore[attr-defined]
        each = -(-size[dimension] // count)
        begin = min(rank * each, size[dimension])
        offset[dimension] += begin
        size[dimension] = min(each, size[dimension] - begin)
    assert tuple(size) == tuple(local(tensor).shape), f"{tuple(size)} is not {tuple(local(tensor).shape)}"
    return Extent(shape, tuple(offset), tuple(size))
