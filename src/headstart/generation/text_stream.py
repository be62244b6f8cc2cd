"""From tokens to text as it is written: whole characters, and nothing of a stop string."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Takes the bytes of one token after another and gives the text that is certain by then.

    A character that is cut in two waits for its other half, and what may be the beginning of a stop string
    waits until it is one or is not. All that was given is the text before the stop string that was complete
    first, however the bytes came in; bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self, stops: Sequence[str] = (), opens: bool = False) -> None:
        """
        Args:
            opens: the first token opens a text, so that the blank which SentencePiece puts before it goes.
        """
        self.stops, self._opens = stops, opens
        self.stopped = False
        """Whether a stop string has come; nothing is to be pushed after it."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, piece: bytes) -> str:
        """Text that has become certain, often none."""
        if self._opens and piece:
            piece, self._opens = piece.removeprefix(b" "), False
        return self._pass_on(self._decoder.decode(piece))

    def finish(self) -> str:
        """The rest, when no more will come."""
        if self.stopped:
            return ""
        text = self._pass_on(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _pass_on(self, text: str) -> str:
        self._held += text
        # The first to end, as if characters came one by one; of several that end there, the longest.
        found = min(
            (
                (self._held.index(stop) + len(stop), self._held.index(stop))
                for stop in self.stops
                if stop in self._held
            ),
            default=None,
        )
        if found is not None:
            self.stopped = True
            sure, self._held = self._held[: found[1]], ""
            return sure
        waiting = max((overlap(self._held, stop) for stop in self.stops), default=0)
        sure = self._held[: len(self._held) - waiting]
        self._held = self._held[len(sure) :]
        return sure


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
