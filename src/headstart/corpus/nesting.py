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
_PASSED_NAMES = np.array([int.from_bytes(name.encode(), "big") for name in _PASSED.split("|")], np.uint32)


def nests_deeper(html: str, limit: int) -> bool:
    """Whether some element has more than `limit` ancestors, as far as the tags tell.

    Elements that cannot nest do not count.
    """
    if html.count("<") <= limit or _deepest(html) <= limit:
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
    content = np.frombuffer(html.encode("utf-8", "replace") + b"    ", np.uint8)
    at = np.flatnonzero(content[:-4] == ord("<"))
    closes = content[at + 1] == ord("/")
    first = at + 1 + closes
    letters = [content[first + n] | 0x20 for n in range(3)]  # small ones
    name = (letters[0].astype(np.uint32) << 16) | (letters[1].astype(np.uint32) << 8) | letters[2]
    counts = (letters[0] >= ord("a")) & (letters[0] <= ord("z")) & ~np.isin(name, _PASSED_NAMES)
    # A closing tag that nothing is open for changes nothing: depth counts from the lowest point so far.
    height = np.cumsum(np.where(counts, np.where(closes, -1, 1), 0))
    return int((height - np.minimum(np.minimum.accumulate(height), 0)).max(initial=0))
