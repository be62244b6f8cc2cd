"""Static token vectors from co-occurrence counts, and a Transformer that starts from them.

Most of what a small language model learns in its first minutes is which tokens keep company. Counting
finds that in seconds: positive pointwise mutual information, factorised (Levy & Goldberg 2014, sections
3 and 7, who show that word2vec's skip-gram factorises a matrix of this kind implicitly).

Tokens keep company in two ways. Near each other stand words of like use ("good" and "bad"), in the same
passages words of like subject and tone ("bad", "waste", "worst"), as latent semantic analysis has it
(Deerwester et al. 1990). A vector holds both, in parts of equal length.
"""

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from headstart.models.transformer import Transformer

WINDOW = 5  # tokens to each side; a neighbour at distance d counts 1/d, as in GloVe
MOST_CONTEXTS = 4096  # the most frequent tokens serve as contexts, which bounds memory to V * 4096 floats
CONTEXT_SMOOTHING = 0.75  # contexts are discounted by their frequency to this power (Levy et al. 2015)
PASSAGE = 512  # tokens; in a book's chapter everything meets everything
PASSAGE_SHARE = 1 / 2  # of the entries of a vector, and of its length
CONTEXTS_AT_ONCE = 256  # a sparse product takes several times the memory of its result
SOFTENING = 0.3  # rare tokens have short vectors; this share of the mean length is added to every divisor
DEVIATION = 0.02  # of the embedding's entries, as in random initialisation


def cooccurrence(ids: np.ndarray, vocab_size: int, contexts: np.ndarray) -> np.ndarray:
    """How often each context token stands near each token, weighted by 1 / distance: `[V, contexts]`.

    Args:
        ids: a stream of token ids `[N]`.
        contexts: the ids that count as contexts, each once.
    """
    column = np.full(vocab_size, -1, dtype=np.int64)
    column[contexts] = np.arange(len(contexts))
    counts = np.zeros(vocab_size * len(contexts), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        cells = []
        for token, context in ((ids[:-distance], ids[distance:]), (ids[distance:], ids[:-distance])):
            place = column[context]
            known = place >= 0
            cells.append(token[known].astype(np.int64) * len(contexts) + place[known])
        counts += np.bincount(np.concatenate(cells), minlength=len(counts)).astype(np.float32) / distance
    return counts.reshape(vocab_size, len(contexts))


def positive_information(counts: np.ndarray) -> Tensor:
    """Positive pointwise mutual information max(0, log p(t, c) / (p(t) p(c))), in nats: `[V, contexts]`."""
    pairs = torch.from_numpy(counts)
    token = pairs.sum(1, keepdim=True).clamp(min=1e-9)
    context = pairs.sum(0, keepdim=True).pow(CONTEXT_SMOOTHING)
    context = (context / context.sum()).clamp(min=1e-12)
    return torch.where(pairs > 0, (pairs / token / context).log(), 0.0).clamp(min=0)


def passage_starts(documents: np.ndarray) -> np.ndarray:
    """Where passages begin, in order: documents, and `PASSAGE` tokens at a time of longer ones.

    Args:
        documents: the number of each token's document, `[N]`.
    """
    starts = np.flatnonzero(np.diff(documents, prepend=documents[:1] - 1))
    position = np.arange(len(documents)) - np.repeat(starts, np.diff(starts, append=len(documents)))
    return np.flatnonzero(position % PASSAGE == 0)


def passage_cooccurrence(
    ids: np.ndarray, starts: np.ndarray, vocab_size: int, contexts: np.ndarray
) -> np.ndarray:
    """How much each token shares passages with each context token: `[V, contexts]`.

    A token that a passage holds n times has the weight 1 + log n in it, and pairs get the product of their
    weights, divided by the sum of all weights in the passage.

    Args:
        ids: a stream of token ids `[N]`.
        starts: where its passages begin, in order.
        contexts: the ids that count as contexts, each once.
    """
    times = np.ones(len(ids), dtype=np.float32)
    # [passages, V]
    weights = csr_array((times, ids.astype(np.int32), np.append(starts, len(ids))), (len(starts), vocab_size))
    weights.sum_duplicates()
    weights.data = 1 + np.log(weights.data)
    by_context = weights.tocsc()
    shares = (diags_array(1 / weights.sum(1)) @ weights).T.tocsr()  # [V, passages]
    counts = np.empty((vocab_size, len(contexts)), dtype=np.float32)
    for first in range(0, len(contexts), CONTEXTS_AT_ONCE):
        some = slice(first, first + CONTEXTS_AT_ONCE)
        counts[:, some] = (shares @ by_context[:, contexts[some]]).toarray()
    return counts


def factors(information: Tensor, width: int) -> Tensor:
    """Centred vectors of the rows of `[V, contexts]`, of nearly equal length, 1 on average: `[V, width]`."""
    rank = min(width, *information.shape)
    left, values, _ = torch.svd_lowrank(information, q=min(rank + 16, *information.shape), niter=3)
    vectors = torch.zeros(len(information), width)
    vectors[:, :rank] = left[:, :rank] * values[:rank].sqrt()
    vectors -= vectors.mean(0)
    length = vectors.norm(dim=1, keepdim=True)
    vectors /= (length + SOFTENING * length.mean()).clamp(min=1e-9)
    return vectors / vectors.square().sum(1).mean().sqrt().clamp(min=1e-9)


def token_vectors(
    ids: np.ndarray, documents: np.ndarray, frequencies: np.ndarray, width: int, seed: int
) -> Tensor:
    """Static vectors of all tokens, `[V, width]`.

    Args:
        ids: a stream of token ids `[N]`.
        documents: the number of each token's document, `[N]`.
        frequencies: how often each id occurs, `[V]`; what has 0 is no context.
    """
    by_frequency = np.argsort(-frequencies, kind="stable")
    contexts = by_frequency[: min(MOST_CONTEXTS, int((frequencies > 0).sum()))]
    shared = round(width * PASSAGE_SHARE)
    size, starts = len(frequencies), passage_starts(documents)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # One table of counts after the other: each takes V * contexts floats.
        vectors = [
            factors(positive_information(cooccurrence(ids, size, contexts)), width - shared),
            factors(positive_information(passage_cooccurrence(ids, starts, size, contexts)), shared),
        ]
        # So that no head gets all the strong directions.
        spread, _ = torch.linalg.qr(torch.randn(width, width))
    joined = torch.cat(vectors, 1) @ spread
    scaled: Tensor = joined * (DEVIATION / joined.std().clamp(min=1e-9))
    return scaled


@torch.no_grad()
def start_from_static(
    model: Transformer, ids: np.ndarray, documents: np.ndarray, seed: int, special: frozenset[int]
) -> None:
    """Give a freshly initialised model static vectors for its embedding, which is its output too.

    Args:
        ids: a stream of token ids to count in, `[N]`.
        documents: the number of each token's document, `[N]`.
        special: ids of special tokens, which keep their random vectors.
    """
    frequencies = np.bincount(ids, minlength=model.config.vocab_size)
    frequencies[list(special)] = 0
    vectors = token_vectors(ids, documents, frequencies, model.config.width, seed)
    ordinary = [index for index in range(len(vectors)) if index not in special]
    model.embedding.weight[ordinary] = vectors[ordinary]
