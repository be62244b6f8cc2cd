"""Memory for keys and values: blocks under a limit, and which of them a later prompt can go on from."""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from torch import Tensor


@dataclass(eq=False)
class Block:
    """Keys and values of `BLOCK` tokens."""

    memory: Tensor
    key: bytes | None = None
    """What it holds, if that is known to all: the tokens from the beginning of the text to its end."""
    users: int = 1


def next_key(before: bytes, tokens: Sequence[int]) -> bytes:
    """The key of the block of these tokens behind the block of key `before`."""
    return blake2b(before + array("q", tokens).tobytes(), digest_size=16).digest()


class BlockPool:
    """At most so many blocks; those that nobody uses keep what they hold until their room is needed."""

    def __init__(self, limit: int, make: Callable[[], Tensor]) -> None:
        """
        Args:
            limit: blocks; they are made when they are first needed.
        """
        self.limit, self.make = limit, make
        self.made = 0
        self._empty: list[Block] = []
        self._known: dict[bytes, Block] = {}
        self._unused: OrderedDict[bytes, Block] = OrderedDict()
        """Known blocks without users, the one used longest ago first."""

    @property
    def used(self) -> int:
        """Blocks that texts have now."""
        return self.made - len(self._empty) - len(self._unused)

    def find(self, keys: Sequence[bytes]) -> list[Block]:
        """The blocks that hold the beginning of a text, as many as are known; `take` makes them one's own."""
        found = []
        for key in keys:
            if key not in self._known:
                break
            found.append(self._known[key])
        return found

    def take(self, shared: Sequence[Block], count: int) -> list[Block] | None:
        """The shared blocks and others to write to, `count` in all; None: there are too few now."""
        kept = sum(not block.users for block in shared)
        if count - len(shared) > self.limit - self.used - kept:
            return None
        for block in shared:
            if block.key is not None:
                self._unused.pop(block.key, None)
            block.users += 1
        return [*shared, *(self._one() for _ in range(count - len(shared)))]

    def _one(self) -> Block:
        if self._empty:
            block = self._empty.pop()
        elif self.made < self.limit:
            self.made += 1
            return Block(self.make())
        else:
            key, block = self._unused.popitem(last=False)
            del self._known[key]
            block.key = None
        block.users = 1
        return block

    def publish(self, block: Block, key: bytes) -> None:
        """A block is written to its end: texts that begin alike may share it."""
        if key not in self._known and block.key is None:
            block.key = key
            self._known[key] = block

    def give_back(self, blocks: Sequence[Block]) -> None:
        """A text needs its blocks no more. What stands further from the beginning is forgotten first."""
        for block in reversed(blocks):
            block.users -= 1
            if block.users:
                continue
            if block.key is None:
                self._empty.append(block)
            else:
                self._unused[block.key] = block
