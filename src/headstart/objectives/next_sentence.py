"""Tell whether one text follows another, and fill gaps in both (Devlin et al. 2018, section 3.1)."""

from dataclasses import replace

import numpy as np
import torch

from headstart.objectives.batch import Batch
from headstart.objectives.masked import masked_batch
from headstart.objectives.rows import document_starts, filled, places_in_rows
from headstart.objectives.vocabulary import Vocabulary

# How much shorter than the batch's rows the rows of the stream are: a document that becomes a pair takes
# at most three tokens more, [CLS] and two [SEP], and one that was whole gives up two of its own.
ROOM = 8


def next_sentence_batch(
    ids: np.ndarray,
    segments: np.ndarray,
    rate: float,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    whole_words: bool = False,
) -> Batch:
    """Make a pair `[CLS] A [SEP] B [SEP]` of each document, and mask `rate` of the tokens.

    A "sentence" is any stretch of text, as in the paper: a document (what a row holds of it) is cut in two
    at random. Half of the pairs, exactly, get a second text from another document. Documents exchange
    their second texts in twos, cut to the same length whether they are exchanged or not, so that lengths
    tell nothing and no text is lost. Documents of fewer than two tokens are left out.

    Args:
        ids, segments: `[B, T]`; unequal segments are different documents, in different rows too.

    Returns:
        Rows of at least `T + ROOM` tokens, segments counting the pairs of the batch.
    """
    text = ~vocabulary.framing[ids].reshape(-1)
    starts = document_starts(segments).reshape(-1)
    document = (np.cumsum(starts) - 1)[text]  # of each token of text
    lengths = np.bincount(document, minlength=starts.sum())
    usable = lengths >= 2
    tokens = ids.reshape(-1)[text][usable[document]]
    own = np.flatnonzero(starts)[usable]  # where each document begins in the rows
    row, number, length = own // ids.shape[1], segments.reshape(-1)[own], lengths[usable]  # [P] each
    begin = np.cumsum(length) - length  # of each text, in `tokens`

    second, partner = _couple(number, length, random)  # tokens of B; whose B it is
    first = length - second  # tokens of A
    sizes = first + second + 3
    pair = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(pair)) - (np.cumsum(sizes) - sizes)[pair]
    behind = place - first[pair] - 2  # place in B
    separator = vocabulary.id("end" if vocabulary.special.separator is None else "separator")
    in_first = (place >= 1) & (behind < -1)
    in_second = (behind >= 0) & (behind < second[pair])
    values = np.where(place == 0, vocabulary.id("start"), separator)
    values[in_first] = tokens[(begin[pair] + place - 1)[in_first]]
    values[in_second] = tokens[((begin + length - second)[partner[pair]] + behind)[in_second]]

    places, width = places_in_rows(row[pair], ids.shape[1] + ROOM)
    shape = (len(ids), width)
    rows = filled(shape, places, values, vocabulary.id("pad"))
    pairs = filled(shape, places, pair, -1)
    batch = masked_batch(rows, pairs, rate, vocabulary, random, whole_words=whole_words)
    return replace(
        batch,
        token_types=torch.from_numpy(filled(shape, places, behind >= 0, 0)),
        pair_positions=torch.from_numpy(places[place == 0]),
        pair_targets=torch.from_numpy((partner != np.arange(len(partner))).astype(np.int64)),
        pair_weight=torch.tensor(len(batch.targets) / max(len(sizes), 1)),
    )


def _couple(
    number: np.ndarray, length: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which texts exchange their second parts, and how long these are.

    Args:
        number: `[P]`, equal for texts of one document; length: `[P]`, at least 2.

    Returns:
        `[P]` lengths of the second parts, and `[P]` whose second part each text gets: its own or, in half
        of the cases, another's. There are fewer of the others if most texts are from one document.
    """
    count = len(number)
    _, group = np.unique(number, return_inverse=True)
    # Half a round apart in an order by document, two are from one only if it has more than half of all.
    order = np.lexsort((random.random(count), random.random(count)[group]))
    half = count // 2
    one, other = order[:half], order[half : 2 * half]
    shorter = length.copy()
    shorter[one] = np.minimum(length[one], length[other])
    second = 1 + random.integers(0, shorter - 1)
    second[other] = second[one]
    partner = np.arange(count)
    apart = random.permutation(np.flatnonzero(number[one] != number[other]))
    both, one_way = apart[: half // 2], apart[half // 2 : half - half // 2]
    partner[one[both]], partner[other[both]] = other[both], one[both]
    partner[other[one_way]] = one[one_way]  # an odd number of couples: one text serves twice
    return second, partner
