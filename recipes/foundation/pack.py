"""A run, or one of its checkpoints, as a model of the box.

    python recipes/foundation/pack.py RUN CARD OUT

The weights are written in bfloat16 with the card, and the hashes of all files beside them.
"""

import sys
from pathlib import Path

import torch

from headstart.interchange.box import pack
from headstart.interchange.model_folder import save_model
from headstart.interchange.sentence_vectors import Normalize, SentenceVectors
from headstart.training.restore import load_any


def main() -> None:
    """Write the folder."""
    run, card, out = map(Path, sys.argv[1:4])
    model = load_any(run)
    if model.head != "causal":  # an encoder: its vectors, and no output over the vocabulary
        model.head, model.vectors = "features", SentenceVectors(layers=[Normalize()])
    save_model(out, model, card.read_text(encoding="utf-8"), dtype=torch.bfloat16)
    pack(out)


if __name__ == "__main__":
    main()
