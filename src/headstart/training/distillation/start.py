"""What a student has of its teacher before the first step: its embedding, and where both are of one shape its
layers too, spread evenly over the teacher's (Sanh et al. 2019, section 3)."""

from dataclasses import replace

import torch
from torch import Tensor

from headstart.models.config import TransformerConfig
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer
from headstart.training.distillation.teacher import Teacher

SHAPE = ("family", "architecture", "width", "heads", "kv_heads", "head_width", "feedforward_width")
"""What has to be equal for a student to take a teacher's layers."""


def same_shape(student: TransformerConfig, teacher: TransformerConfig) -> bool:
    """Whether a student's layers are made as its teacher's."""
    return all(getattr(student, name) == getattr(teacher, name) for name in SHAPE)


def like_teacher(student: TransformerConfig, teacher: TransformerConfig) -> TransformerConfig:
    """A student of its teacher's shape, which reads as far as the teacher does."""
    if not same_shape(student, teacher):
        return student
    return replace(student, context=max(student.context, teacher.context))


def spread_layers(student: int, teacher: int) -> list[int]:
    """Which of a teacher's layers a student's begin as: the first and the last, and between them evenly."""
    if student == 1:
        return [teacher - 1]
    return [round(layer * (teacher - 1) / (student - 1)) for layer in range(student)]


@torch.no_grad()
def take_layers(model: Transformer, teacher: Teacher, tokenizer: Tokenizer) -> None:
    """Give a student of its teacher's shape the teacher's weights."""
    own, theirs = model.state_dict(), teacher.model.state_dict()
    spread = spread_layers(model.config.layers, teacher.model.config.layers)
    for name, tensor in own.items():
        source = name
        if ".blocks." in name:
            before, _, rest = name.partition(".blocks.")
            layer, _, rest = rest.partition(".")
            source = f"{before}.blocks.{spread[int(layer)]}.{rest}"
        if source in theirs and theirs[source].shape == tensor.shape and name != "embedding.weight":
            tensor.copy_(theirs[source])
    model.embedding.weight.copy_(known_tokens(teacher, tokenizer, model.embedding.weight))


def known_tokens(teacher: Teacher, tokenizer: Tokenizer, weight: Tensor) -> Tensor:
    """The teacher's embedding for a student's tokens, `[V, D]`: of a token that both write alike its own row,
    of another the mean of the tokens that its text has in the teacher; else what `weight` says."""
    table = teacher.model.embedding.weight
    places = {token: index for index, token in enumerate(teacher.tokenizer.tokens) if token}
    found = weight.clone()
    for index, token in enumerate(tokenizer.tokens):
        if token in places:
            found[index] = table[places[token]]
        elif ids := teacher.tokenizer.encode(tokenizer.pieces[index].decode("utf-8", "replace").strip()):
            found[index] = table[ids].mean(0)
    return found
