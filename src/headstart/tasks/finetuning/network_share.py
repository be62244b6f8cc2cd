"""How much a network counts beside counted words, chosen on examples that neither has seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from headstart.tasks.examples import Examples, flatten
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.predictor import Predictor

SHARES = tuple(step / 20 for step in range(31))
"""Of the network, that are tried."""
SHARE_DEVIATION = 0.5
"""Of what is believed of it before any label is seen."""


def network_share(predictor: Predictor, held: Examples) -> float:
    """How much a network's scores count beside those of counted words, told by examples neither has seen:
    a network that knows few labels by heart is far too sure of others.

    It is the share with the highest posterior, of a normal prior around 1.
    """
    kind = predictor.kind
    assert isinstance(kind, Scored)
    pieces = kind.encode(predictor.tokenizer, held.inputs, predictor.max_tokens)
    labels = () if held.task == "question-answering" else predictor.labels  # whose targets are places
    known = [piece for piece in pieces if _is_known(held.targets[piece.owner], labels)]
    if not known:
        return 1.0
    outputs = predictor.network_outputs(known)
    beside = predictor.with_counted([np.zeros_like(one) for one in outputs], known, held.inputs)
    whole = not predictor.model.reads_each
    network, counted = (
        torch.from_numpy(np.stack(each) if whole else np.concatenate(each)).float()
        for each in (outputs, beside)
    )
    targets = kind.targets(held, known, predictor.labels)
    worst = [
        len(held) * float(kind.loss(share * network + counted, targets, known))
        + (share - 1) ** 2 / (2 * SHARE_DEVIATION**2)
        for share in SHARES
    ]
    return SHARES[int(np.argmin(worst))]


def _is_known(target: Any, labels: Sequence[str]) -> bool:
    """Whether the model knows all labels of an example."""
    return not labels or isinstance(target, float | int) or set(flatten([target])) <= set(labels)
