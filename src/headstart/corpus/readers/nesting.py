"""How deep a page nests its elements, told from its tags before anything is parsed."""

import re

import numpy as np

# Elements that cannot nest in themselves: they have no content, or the next one closes them.
_FLAT = (
    "br|img|input|meta|link|hr|col|area|base|embed|source|track|wbr|param|p|li|dt|dd|tr|td|th|thead|tbody|tfoot"
    "|option|optgroup|colgroup"
)
_TAG = re.compile(rf"<(/?)(?!(?:{_FLAT})[\s/>])[a-zA-Z][^<>]*?(/?)>", re.IGNORECASE)

# Tags whose names begin so are left out of the estimate, opening and closing alike: those above, and what
# drawings are made of, which mostly closes itself.
_PASSED = (
    "br>|br |br/|img|inp|met|lin|hr>|hr |hr/|col|are|bas|emb|sou|tra|wbr|par|p> |li>|li |dt>|dt |dd>|dd |tr>"
    "|tr |td>|td |th>|th |the|tbo|tfo|opt|pat|use|cir|rec|pol|ell|sto"
)
_BITS = 0x1F  # of a letter, in either case


def _passed_names() -> np.ndarray:
    """For each three characters, five bits of each, whether a tag that begins so is left out."""
    table = np.zeros(1 << 15, bool)
    for name in _PASSED.split("|"):
        first, second, third = (byte & _BITS for byte in name.encode())
        table[first << 10 | second << 5 | third] = True
    return table


_LEFT_OUT = _passed_names()


def nests_deeper(html: str, limit: int) -> bool:
    """Whether some element has more than `limit` ancestors, as far as the tags tell.

    Elements that cannot nest do not count.
    """
    if len(html) <= limit or _deepest(html) <= limit:
        return False
    depth = 0
    for match in _TAG.finditer(html):
        if match[1]:
            depth = max(depth - 1, 0)
        elif not match[2]:
            depth += 1
            if depth > limit:
                return True
    return False


def _deepest(html: str) -> int:
    """About how deep the page nests; where tags do not close as they should, rather too deep."""
    content = np.frombuffer(html.encode("utf-8", "replace"), np.uint8)
    at = np.flatnonzero(content == ord("<")) + 1
    closes = content.take(at, mode="clip") == ord("/")
    name = [content.take(at + closes + n, mode="clip") for n in range(3)]
    letter = name[0] | 0x20  # a small one
    bits = [(byte & _BITS).astype(np.uint16) for byte in name]
    passed = _LEFT_OUT[bits[0] << 10 | bits[1] << 5 | bits[2]]
    counts = (letter >= ord("a")) & (letter <= ord("z")) & ~passed
    # A closing tag that nothing is open for changes nothing: depth counts from the lowest point so far.
    height = np.cumsum(np.where(counts, np.where(closes, -1, 1), 0))
    return int((height - np.minimum(np.minimum.accumulate(height), 0)).max(initial=0))
