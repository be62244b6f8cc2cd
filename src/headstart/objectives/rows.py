"""Rows that hold several documents: where documents begin, and rows built from tokens that lie flat."""

import numpy as np


def document_starts(segments: np.ndarray) -> np.ndarray:
    """True for the first token that a row has of a document, `[B, T]`."""
    starts = np.ones(segments.shape, dtype=bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return starts


def places_in_rows(row: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """Where tokens stand when each row takes its own, one behind the other.

    Args:
        row: `[N]` ascending, the row of each token.
        width: of the rows; where a row has more tokens, it grows by multiples of 8.

    Returns:
        Places `[N]` in the flattened rows, and the width.
    """
    column = np.arange(len(row)) - np.searchsorted(row, row)
    longest = int(column.max(initial=-1)) + 1
    width += 8 * max(0, -(-(longest - width) // 8))
    return row * width + column, width


def filled(shape: tuple[int, int], places: np.ndarray, values: np.ndarray, padding: int) -> np.ndarray:
    """Rows with `values` at `places` of the flattened rows, and padding elsewhere."""
    rows = np.full(shape, padding, dtype=np.int64)
    rows.reshape(-1)[places] = values
    return rows
