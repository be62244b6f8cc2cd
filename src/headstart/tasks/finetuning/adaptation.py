"""Which weights of a pre-trained model learn a task, and how fast.

full    all of them, lower layers more slowly (Howard & Ruder 2018)
top-K   the head and the highest K layers
lora    the head and low-rank changes of the layers' matrices (Hu et al. 2021)
frozen  the head's output layer alone
mix     a linear head, on the softmax-weighted mean of all layers (Peters et al. 2018, equation 1)
"""

from typing import TypedDict

from torch import nn

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.lora import add_low_rank
from headstart.tasks.model import TaskModel

# Tables of a stack that are looked up before its first block.
TABLES = ("positions.weight", "token_types.weight", "relative_bias.weight")


HEAD = ("head.", "body.pooler.", "body.prediction_head.")
"""How the names of what is behind the body begin; some heads borrow a part that the body carries."""


def adapt(model: TaskModel, recipe: FinetuneRecipe, seed: int) -> None:
    """Leave learning only what the recipe's way of adapting trains.

    Raises:
        HeadstartError: nothing would learn, or there are no such matrices or layers.
    """
    if recipe.adapt == "mix" and not model.writes:
        model.mix_layers()
    elif recipe.adapt == "lora":
        add_low_rank(
            model.body, recipe.lora_targets, recipe.lora_rank, recipe.lora_alpha, recipe.lora_dropout, seed
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_learns(model, name, recipe.adapt))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise HeadstartError(
            f"adapt={recipe.adapt} leaves nothing to learn for {model.task}, which has no head of its own; "
            "take full, top-K, lora or mix"
        )


def _learns(model: TaskModel, name: str, way: str) -> bool:
    if way == "mix":
        return name == "mix.weights" or name.startswith("head.output.")
    if way == "frozen":
        return name.startswith("head.output.")
    if way == "full" or name.startswith(HEAD):
        return True
    if way == "lora":
        return name.endswith((".narrow", ".widen"))
    return way.startswith("top-") and layers_above(model.body.config, name) <= int(way.removeprefix("top-"))


def learning(model: TaskModel) -> int:
    """How many weights learn."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class ParameterGroup(TypedDict):
    """Weights that AdamW moves alike."""

    params: list[nn.Parameter]
    lr: float
    """The peak of their rate."""
    weight_decay: float


def parameter_groups(
    model: TaskModel, rate: float, decay: float, weight_decay: float
) -> list[ParameterGroup]:
    """Groups for AdamW by depth: each layer below the head has `decay` times the rate of the one above."""
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        groups.setdefault((layers_above(model.body.config, name), parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * decay**above,
            "weight_decay": weight_decay if matrix else 0.0,
        }
        for (above, matrix), parameters in groups.items()
    ]


def layers_above(config: TransformerConfig, name: str) -> int:
    """How many layers stand between the head and a parameter, its own included: 0 for the head and what is
    behind the last block, 1 for that block, and for the embeddings one more than there are blocks. The
    decoder of an encoder-decoder stands on its encoder."""
    if ".blocks." in name:
        below = int(name.split(".blocks.")[1].split(".")[0])
        if "encoder.blocks." in name and config.architecture == "encoder-decoder":
            return config.layers + config.encoder_layers - below
        return config.layers - below
    if name.startswith("body.embedding.") or name.endswith(TABLES) or ".embedding_norm" in name:
        return config.layers + config.encoder_layers + 1
    return 0
