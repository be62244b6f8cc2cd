"""Restore a text from a damaged one (Lewis et al. 2020, section 2.2)."""

import numpy as np

from headstart.objectives.batch import Batch, to_batch
from headstart.objectives.rows import document_starts, filled, places_in_rows
from headstart.objectives.spans import hide_spans, span_starts
from headstart.objectives.vocabulary import Vocabulary


def denoising_batch(
    ids: np.ndarray,
    segments: np.ndarray,
    rate: float,
    mean_span: float,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    permute_sentences: bool = True,
    delete_rate: float = 0.0,
) -> Batch:
    """The encoder reads damaged documents, the decoder writes all of each, after the token with which the
    model's family begins (BART: `</s>`).

    First the sentences of a document are put in random order. Then text infilling hides spans, with lengths
    from a Poisson distribution, each behind one mask; a span of length 0 is a mask put behind a token. At
    last single tokens are deleted.

    Args:
        ids, segments: `[B, T]`.
        rate: share of the ordinary tokens of a row that infilling hides; mean_span: the mean of the
            Poisson distribution.
        delete_rate: share of the visible ordinary tokens to delete; a document's first token stays.

    Returns:
        Source rows as wide as the longest, to multiples of 8; decoder rows of T tokens, all of them targets.
    """
    starts = document_starts(segments)
    read = ids
    if permute_sentences:
        read = _permute_sentences(ids.reshape(-1), starts.reshape(-1), vocabulary, random).reshape(ids.shape)
    hideable = vocabulary.ordinary[read]
    lengths = _poisson_lengths(np.rint(rate * hideable.sum(1)).astype(np.int64), mean_span, random)
    hidden, followed = hide_spans(hideable, segments, lengths, random)
    first = span_starts(hidden, segments)
    keep = ~hidden | first
    deletable = np.flatnonzero(hideable & ~hidden & ~starts)
    deleted = random.permutation(deletable)[: round(delete_rate * len(deletable))]
    keep.reshape(-1)[deleted] = False

    mask, kept = vocabulary.id("mask"), keep.reshape(-1)
    written = np.where(first, mask, read).reshape(-1)
    counts = kept.astype(np.int64) + followed.reshape(-1)
    token = np.repeat(np.arange(len(counts)), counts)
    inserted = np.arange(len(token)) - np.repeat(np.cumsum(counts) - counts, counts) >= kept[token]
    places, width = places_in_rows(token // ids.shape[1], 0)
    shape = (len(ids), width)
    values = np.where(inserted, mask, written[token])
    inputs = np.where(
        starts.reshape(-1), vocabulary.id(vocabulary.decoder_start), np.roll(ids, 1).reshape(-1)
    )
    return to_batch(
        ids=inputs.reshape(ids.shape),
        segments=segments,
        positions=np.arange(ids.size),
        targets=ids.reshape(-1),
        source=filled(shape, places, values, vocabulary.id("pad")),
        source_segments=filled(shape, places, segments.reshape(-1)[token], -1),
    )


def _permute_sentences(
    flat: np.ndarray, starts: np.ndarray, vocabulary: Vocabulary, random: np.random.Generator
) -> np.ndarray:
    """The tokens with the sentences of each document in random order; what frames a document stays."""
    frame = vocabulary.framing[flat]
    begins = starts.copy()
    begins[1:] |= vocabulary.ends_sentence[flat[:-1]]
    sentence = np.cumsum(begins) - 1
    keys = random.random(len(flat))[sentence]
    keys[frame] = np.where(starts[frame], -1.0, 2.0)
    return flat[np.lexsort((keys, np.cumsum(starts)))]


def _poisson_lengths(wanted: np.ndarray, mean: float, random: np.random.Generator) -> np.ndarray:
    """Lengths of spans that hide exactly `wanted` `[B]` tokens, `[B, K]`: the last one cut, -1 behind it.

    Of the empty spans there are at most so many that their masks do not make the row longer than it was.
    """
    lengths = random.poisson(mean, (len(wanted), 2 * int(wanted.max(initial=0)) + 8))
    lengths[:, -1] = wanted  # should the others not be enough
    before = np.cumsum(lengths, axis=1) - lengths
    lengths = np.where(before < wanted[:, None], np.minimum(lengths, wanted[:, None] - before), -1)
    spared = wanted - (lengths > 0).sum(1)  # tokens hidden, less the masks of spans
    lengths[(lengths == 0) & (np.cumsum(lengths == 0, axis=1) > spared[:, None])] = -1
    return np.take_along_axis(lengths, np.argsort(lengths < 0, axis=1, kind="stable"), axis=1)
