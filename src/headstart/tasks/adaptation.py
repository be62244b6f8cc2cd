"""Which weights of a pre-trained model learn a task, and how fast."""

from typing import Any

from torch import nn

from headstart.tasks.model import TaskModel

# Tables of a stack that are looked up before its first block.
TABLES = ("positions.weight", "token_types.weight", "relative_bias.weight")


def parameter_groups(
    model: TaskModel, rate: float, decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for AdamW by depth: each layer below the head has `decay` times the rate of the one above."""
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((layers_above(model, name), parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * decay**above,
            "weight_decay": weight_decay if matrix else 0.0,
        }
        for (above, matrix), parameters in groups.items()
    ]


def layers_above(model: TaskModel, name: str) -> int:
    """How many layers stand between the head and a parameter, its own included: 0 for the head and what is
    behind the last block, 1 for that block, and for the embeddings one more than there are blocks. The
    decoder of an encoder-decoder stands on its encoder."""
    config = model.body.config
    if ".blocks." in name:
        below = int(name.split(".blocks.")[1].split(".")[0])
        if name.startswith("body.encoder.") and config.architecture == "encoder-decoder":
            return config.layers + config.encoder_layers - below
        return config.layers - below
    if name.startswith("body.embedding") or name.endswith(TABLES) or ".embedding_norm" in name:
        return config.layers + config.encoder_layers + 1
    return 0
