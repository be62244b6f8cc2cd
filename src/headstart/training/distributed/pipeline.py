"""A model in stages: each process has some of the blocks, and hidden states go from one to the next.

The schedule is PyTorch's 1F1B (Narayanan et al. 2019): one forward, one backward, so that no process keeps
more micro-batches than there are stages after it.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.transformer import Stack, Transformer
from headstart.objectives.batch import Batch
from headstart.training.distributed.tensors import local


class Stage(nn.Module):
    """One process's part of a model; the rest of it is thrown away here.

    The first stage embeds; the last has the final norm and the output. A tied embedding is on both.

    Args:
        model: whole.
        losses: what the last stage does with hidden states `[B, T, D]` of a batch.
    """

    def __init__(self, model: Transformer, losses: nn.Module, index: int, count: int) -> None:
        super().__init__()
        self.model, self.losses = model, losses
        self.first, self.last = index == 0, index == count - 1
        if model.encoder is not None and model.decoder is not None:
            raise HeadstartError(
                f"{model.config.family} is an encoder-decoder: parallel.pipeline cannot split it"
            )
        layers = len(self.stack.blocks)
        if layers < count:
            raise HeadstartError(f"parallel.pipeline={count} is more than there are layers ({layers})")
        begin, end = (layers * place // count for place in (index, index + 1))
        for layer in range(layers):
            if not begin <= layer < end:
                self.stack.blocks[layer] = nn.Identity()
        self.blocks = [self.stack.blocks[layer] for layer in range(begin, end)]
        tied = model.output is None
        if not self.first:
            self.stack.positions = self.stack.token_types = None
            self.stack.embedding_norm = nn.Identity()
            if not (self.last and tied):
                model.embedding = nn.Identity()  # type: ignore[assignment]
        if not self.last:
            self.stack.final_norm = model.prediction_head = nn.Identity()
            model.output = model.output_bias = model.pooler = model.next_sentence = None
        self.shared = model.embedding.weight if tied and (self.first or self.last) else None
        """The embedding that the first and the last stage both have."""
        self.parts: Sequence[Batch] = []
        """Micro-batches at work."""
        self.scale = 1.0
        """What their losses are multiplied by."""
        self.groups: Tensor | None = None
        """In an evaluation the group of each target, and how many groups there are."""
        self.count = 0

    @property
    def stack(self) -> Stack:
        """The model's one stack of blocks."""
        stack = self.model.decoder if self.model.decoder is not None else self.model.encoder
        assert stack is not None
        return stack

    def forward(self, x: Tensor, number: Tensor) -> Tensor:
        """Ids `[B, T]` or hidden states `[B, T, D]` of micro-batch `number` `[1]` to hidden states, or in the
        last stage to the loss, by group in an evaluation."""
        batch, stack = self.parts[int(number)], self.stack
        if self.first:
            x = stack.enter(self.model.embed(x), batch.segments, batch.token_types)
        context = stack.attention_context(0, x.shape[1], batch.segments, batch.prefix, x)
        for block in self.blocks:
            x = block(x, context)
        x = stack.final_norm(x)
        if self.last:
            x = self.losses(batch, self.groups, self.count, hidden=x) * self.scale
        return x


class Pipeline:
    """The stages at work.

    Args:
        stage: this process's, maybe wrapped.
        ranks: the processes of the pipeline, in order.
        group: theirs.
        ends: the group of the first and the last of them.
    """

    def __init__(self, stage: Stage, ranks: list[int], group: Any, ends: Any, device: torch.device) -> None:
        self.stage, self.ranks, self.group, self.ends, self.device = stage, ranks, group, ends, device
        self.index = ranks.index(dist.get_rank())
        self._schedules: dict[tuple[int, ...], Any] = {}

    def backward(self, parts: Sequence[Batch], scale: float) -> Tensor:
        """Gradients of the sum over micro-batches of `scale` times their loss; returns that sum, which only
        the last stage knows.

        Raises:
            HeadstartError: too few micro-batches, or of several sizes.
        """
        stage = self.stage
        if len(parts) < len(self.ranks) or len({part.ids.shape for part in parts}) > 1:
            raise HeadstartError(
                f"parallel.pipeline={len(self.ranks)} needs at least as many micro-batches of one size as "
                f"stages, and a step has {len(parts)} here; lower micro_rows to a divisor of a process's rows"
            )
        stage.parts, stage.scale = parts, scale
        numbers = torch.arange(len(parts))
        losses: list[Tensor] = []
        given = (torch.cat([part.ids for part in parts]),) if stage.first else ()
        schedule = self._schedule(len(parts), parts[0].ids)
        target = {"target": numbers, "losses": losses} if stage.last else {}
        schedule.step(*given, number=numbers, return_outputs=False, **target)
        if stage.shared is not None:
            gradient = stage.shared.grad
            assert gradient is not None
            dist.all_reduce(local(gradient), group=self.ends)
        return torch.stack(losses).sum().detach() if stage.last else torch.zeros((), device=self.device)

    @torch.no_grad()
    def evaluate(self, batch: Batch, groups: Tensor, count: int) -> Tensor:
        """The summed loss by group of target `[count]`, told to every stage."""
        stage, place = self.stage, self.index
        stage.parts, stage.scale, stage.groups, stage.count = [batch], 1.0, groups, count
        x = batch.ids
        if not stage.first:
            x = torch.empty(*x.shape, stage.model.config.width, dtype=stage.model.dtype, device=self.device)
            dist.recv(x, self.ranks[place - 1], group=self.group)
        x = stage(x, torch.zeros(1, dtype=torch.long))
        stage.groups = None
        reshard: Any = getattr(stage, "reshard", None)
        if reshard is not None:  # FSDP keeps what it gathered for a backward pass
            reshard()
        if not stage.last:
            dist.send(x.contiguous(), self.ranks[place + 1], group=self.group)
            x = torch.zeros(count, device=self.device)
        dist.broadcast(x, self.ranks[-1], group=self.group)
        return x

    def _schedule(self, parts: int, ids: Tensor) -> Any:
        """The schedule for so many micro-batches of the shape of `ids` `[B, T]`."""
        from torch.distributed.pipelining import PipelineStage, Schedule1F1B

        key = (parts, *ids.shape)
        if key not in self._schedules:
            stage, model = self.stage, self.stage.model
            shape = (*ids.shape, model.config.width)
            states = torch.empty(shape, dtype=model.dtype, device="meta", requires_grad=True)
            made = PipelineStage(
                stage, self.index, len(self.ranks), self.device,
                input_args=ids.to("meta") if stage.first else states,
                output_args=torch.empty((), device="meta", requires_grad=True) if stage.last else states,
                group=self.group,
            )  # fmt: skip
            self._schedules[key] = Schedule1F1B(made, parts, loss_fn=_is_loss, scale_grads=False)
        return self._schedules[key]


def _is_loss(output: Tensor, number: Tensor) -> Tensor:
    return output
