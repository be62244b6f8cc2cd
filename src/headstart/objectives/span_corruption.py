"""Hide spans behind sentinels and write them out (Raffel et al. 2020, section 3.1.4)."""

import numpy as np

from headstart.objectives.batch import Batch, to_batch
from headstart.objectives.rows import document_starts, filled, places_in_rows
from headstart.objectives.spans import compositions, hide_spans, span_starts
from headstart.objectives.vocabulary import Vocabulary


def noise_counts(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    """How many tokens of a row are hidden, and in how many spans: fixed by its length, as in T5's code."""
    tokens = min(max(round(length * rate), 1), length - 1)
    spans = min(max(round(tokens / mean_span), 1), length - tokens)
    return tokens, spans


def source_width(length: int, rate: float, mean_span: float) -> int:
    """What is left of a row: visible tokens, a sentinel for each span, and one token of padding."""
    tokens, spans = noise_counts(length, rate, mean_span)
    return length - tokens + spans + 1


def row_length(context: int, rate: float, mean_span: float) -> int:
    """The longest row whose source has at most `context` tokens (568 for 512, as in T5)."""
    length = context
    while source_width(length + 1, rate, mean_span) <= context:
        length += 1
    while source_width(length, rate, mean_span) > context:
        length -= 1
    return length


def span_corruption_batch(
    ids: np.ndarray,
    segments: np.ndarray,
    rate: float,
    mean_span: float,
    vocabulary: Vocabulary,
    random: np.random.Generator,
) -> Batch:
    """The source has a sentinel for each hidden span, the target each sentinel with its span, then the end.

    Of the eight tokens of a document "a b c d e f g h" the spans "b" and "e f" are hidden (rate 0.375: three
    tokens; mean_span 1.5: two spans):

        read          a    b    c    d    e    f    g    h
        source        a   <0>   c    d   <1>   g    h   <pad>     5 visible, 2 sentinels, the padding
        decoder     <pad> <0>   b   <1>   e    f   <pad>          the targets, one place later
        target       <0>   b   <1>   e    f   </s>                `positions` are 0 to 5

    Sentinels are counted in each document. The decoder starts every document as the model's family does
    (T5: with padding).
    Lengths of spans are drawn as by T5's code: each way to cut the hidden tokens of a row into its spans is
    as likely as the others. Unlike there, where the last token is always hidden, spans may lie anywhere
    inside a document's text. A row's documents share the numbers that T5 gives a row, so that shapes are
    static; only rows of tiny documents can be wider.

    Args:
        ids, segments: `[B, T]`.
        rate: share of a row's tokens to hide; mean_span: their mean number in a span.

    Returns:
        Source rows of `source_width` tokens; decoder rows of tokens + 2 spans, as if each span were in a
        document of its own. The source ends in padding, so that the decoder's has something to look at.
    """
    rows, length = ids.shape
    tokens, spans = noise_counts(length, rate, mean_span)
    lengths = compositions(tokens, spans, rows, random)
    hidden, _ = hide_spans(vocabulary.ordinary[ids], segments, lengths, random)
    widths = source_width(length, rate, mean_span), tokens + 2 * spans
    return hidden_spans_batch(ids, segments, hidden, widths, vocabulary)


def hidden_spans_batch(
    ids: np.ndarray,
    segments: np.ndarray,
    hidden: np.ndarray,
    widths: tuple[int, int],
    vocabulary: Vocabulary,
) -> Batch:
    """`span_corruption_batch` where it is known which tokens are hidden; neighbours make one span.

    Args:
        ids, segments: `[B, T]`; hidden: `[B, T]` boolean.
        widths: of the source and of the decoder's rows, at least; the source's last column is padding.
    """
    length = ids.shape[1]
    first = span_starts(hidden, segments).reshape(-1)
    hidden = hidden.reshape(-1)
    flat, numbers = ids.reshape(-1), segments.reshape(-1)

    starts = document_starts(segments).reshape(-1)
    document = np.cumsum(starts) - 1
    before = np.cumsum(first) - first  # spans before a token, in the whole batch
    span = before - before[starts][document]  # number of the span in its document
    sentinels, padding = np.array(vocabulary.special.sentinels), vocabulary.id("pad")

    keep = np.flatnonzero(~hidden | first)
    places, width = places_in_rows(keep // length, widths[0] - 1)
    shape = (len(ids), width + 1)
    places += places // width  # one column more, of padding
    written = flat.copy()
    written[first] = sentinels[span[first]]
    source = filled(shape, places, written[keep], padding)
    source_segments = filled(shape, places, numbers[keep], -1)

    noise = np.flatnonzero(hidden)
    closes = np.append(document[noise][1:] != document[noise][:-1], True)[: len(noise)]
    counts = 1 + first[noise] + closes  # what each hidden token adds: its sentinel, itself, the end
    token = np.repeat(noise, counts)
    step = np.arange(len(token)) - np.repeat(np.cumsum(counts) - counts, counts) - first[token]
    targets = np.where(step == 0, flat[token], vocabulary.id("end"))
    targets[step < 0] = written[token[step < 0]]
    opens = np.append(True, document[token][1:] != document[token][:-1])[: len(token)]
    inputs = np.where(opens, vocabulary.id(vocabulary.decoder_start), np.roll(targets, 1))
    places, width = places_in_rows(token // length, widths[1])
    shape = (len(ids), width)
    return to_batch(
        ids=filled(shape, places, inputs, padding),
        segments=filled(shape, places, numbers[token], -1),
        positions=places,
        targets=targets,
        source=source,
        source_segments=source_segments,
    )
