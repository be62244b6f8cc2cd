"""How the work of a run is laid out over processes, from outside the model: the model knows nothing of it.

`torchrun --nproc-per-node N -m headstart pretrain ...` starts N processes; `start` finds out which of them
this is. On one process nothing here does anything. Weights, gradients and optimiser state that are split over
processes are DTensors of torch.distributed; the loss of a step is the same whatever the layout, but for
rounding.
"""

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.checkpoint import checkpoint

from headstart.errors import HeadstartError
from headstart.models.transformer import Block, Transformer
from headstart.objectives.batch import Batch, hidden_states, loss_sum, target_states, to_device
from headstart.objectives.cross_entropy import cross_entropy_sum
from headstart.training.distributed.pipeline import Pipeline, Stage
from headstart.training.distributed.tensors import full, local, split_over
from headstart.training.recipe import ParallelRecipe, PretrainRecipe

# How each matrix of a block is split: by its outputs, or by its inputs (Shoeybi et al. 2019, section 3).
BY_OUTPUT = ("attention.query", "attention.key", "attention.value", "feedforward.gate", "feedforward.up")
BY_INPUT = ("attention.out", "feedforward.down")


class Loss(nn.Module):
    """The loss of a batch as one module, so that what wraps it sees a single forward pass."""

    def __init__(self, model: Transformer, recipe: PretrainRecipe) -> None:
        super().__init__()
        self.model = model
        self.options = {
            "z_loss": recipe.z_loss,
            "label_smoothing": recipe.label_smoothing,
            "compiled": recipe.compile,
        }

    def forward(
        self, batch: Batch, groups: Tensor | None = None, count: int = 0, hidden: Tensor | None = None
    ) -> Tensor:
        """The summed loss of a batch; of an evaluation the sums by group `[count]`, with nothing added.

        Args:
            groups: of each target, `[N]`.
            hidden: hidden states `[B, T, D]`; None: the model's.
        """
        if groups is None:
            return loss_sum(self.model, batch, hidden, **self.options)
        hidden = hidden_states(self.model, batch) if hidden is None else hidden
        states = target_states(self.model, batch, hidden)
        weight, bias = self.model.output_weight, self.model.output_bias
        cap = self.model.config.output_cap
        sums = [
            cross_entropy_sum(states[groups == group], weight, bias, batch.targets[groups == group], cap=cap)
            for group in range(count)
        ]
        return torch.stack(sums)


class ParallelContext:
    """This process's place among all of them.

    Attributes:
        rank, size: which of how many processes.
        data_rank, data_size: which of how many shares of a step's rows it reads.
        dropout_rank: a number of its own for dropout, the same where processes compute the same.
        device: where it computes.
    """

    def __init__(self, recipe: ParallelRecipe, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.recipe, self.device, self.rank, self.size = recipe, device, rank, size
        self.data_size = size // recipe.tensor // recipe.pipeline
        self.data_rank = rank // recipe.tensor % self.data_size
        self.dropout_rank = rank // recipe.tensor
        self.split = recipe.shard * recipe.tensor * recipe.pipeline > 1
        self.mesh: Any = None
        if size > 1:
            shape = (recipe.pipeline, self.data_size // recipe.shard, recipe.shard, recipe.tensor)
            names = ("pipeline", "replicate", "shard", "tensor")
            self.mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
        self.pipeline: Pipeline | None = None
        self.module: nn.Module | None = None
        """The loss of a batch, ready to train."""

    @property
    def main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def parallelize(self, model: Transformer, recipe: PretrainRecipe) -> None:
        """Bring a model to its device, split it, and make ready to train it.

        Raises:
            HeadstartError: the model or the step's rows cannot be split like that.
        """
        if recipe.rows % self.data_size:
            raise HeadstartError(
                f"rows={recipe.rows} cannot be shared by {self.data_size} processes; make it a multiple"
            )
        model.to(self.device)
        if recipe.parallel.tensor > 1:
            self._split_matrices(model)
        for block in _blocks(model):
            if recipe.checkpoint_activations:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
        if recipe.compile:
            # Compiled, an embedding's gradient is summed by atomic additions: faster on a GPU, and on a
            # processor no longer the same from run to run.
            kinds = (Block, nn.Embedding) if self.device.type == "cuda" else Block
            for module in model.modules():
                if isinstance(module, kinds):
                    module.compile(dynamic=False)
        self.module = Loss(model, recipe)
        if recipe.parallel.pipeline > 1:
            self.module = self._stages(model, self.module, recipe)
        if recipe.parallel.shard > 1 or (recipe.parallel.tensor > 1 and self.data_size > 1):
            from torch.distributed.fsdp import fully_shard

            mesh = (
                self.mesh["replicate", "shard"]
                if self.data_size > recipe.parallel.shard
                else self.mesh["shard"]
            )
            for block in _blocks(model):
                fully_shard(block, mesh=mesh)
            fully_shard(self.module, mesh=mesh)
        elif self.data_size > 1 and self.pipeline is None:
            from torch.nn.parallel import DistributedDataParallel

            group = self.mesh["replicate"].get_group()
            # The pooler of a model that learns by another objective gets no gradient.
            self.module = DistributedDataParallel(
                self.module, process_group=group, find_unused_parameters=True
            )

    def _stages(self, model: Transformer, losses: nn.Module, recipe: PretrainRecipe) -> nn.Module:
        if recipe.rows_warmup or recipe.context_warmup:
            raise HeadstartError(
                "parallel.pipeline needs steps of one size: take no rows_warmup and no context_warmup"
            )
        ranks = self.mesh.mesh  # [P, R, S, T]
        first, last = ranks[0].flatten().tolist(), ranks[-1].flatten().tolist()
        ends = [dist.new_group(pair) for pair in zip(first, last, strict=True)]
        own = self.mesh["pipeline"]
        column = self.rank % len(first)
        stage = Stage(model, losses, own.get_local_rank(), recipe.parallel.pipeline)
        members = ranks.flatten(1)[:, column].tolist()
        self.pipeline = Pipeline(stage, members, own.get_group(), ends[column], self.device)
        return stage

    def _split_matrices(self, model: Transformer) -> None:
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
        from torch.distributed.tensor.parallel.style import ParallelStyle

        config, parts = model.config, self.recipe.tensor
        if config.position in ("relative", "relative-xl", "disentangled"):
            raise HeadstartError(f"{config.family} has a bias for each head: parallel.tensor cannot split it")
        if config.heads % parts or config.kv_heads % parts or config.feedforward_width % parts:
            raise HeadstartError(
                f"parallel.tensor={parts} must divide heads ({config.heads}), kv_heads ({config.kv_heads}) "
                f"and feedforward_width ({config.feedforward_width})"
            )
        for block in _blocks(model):
            plan: dict[str, ParallelStyle] = {
                **{name: ColwiseParallel() for name in BY_OUTPUT},
                **{name: RowwiseParallel() for name in BY_INPUT},
            }
            if block.cross_attention is not None:
                plan |= {
                    f"cross_{name}": style for name, style in plan.items() if name.startswith("attention")
                }
            known = {name: style for name, style in plan.items() if _has(block, name)}
            parallelize_module(block, self.mesh["tensor"], known)

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a step's batch."""
        rows = len(batch.ids) // self.data_size
        return batch.rows(self.data_rank * rows, (self.data_rank + 1) * rows)

    def backward(self, parts: Sequence[Batch], targets: int) -> Tensor:
        """Gradients of the mean loss over a step's targets, from this process's parts of its batch.

        Args:
            targets: of the whole step, in all processes.

        Returns:
            That loss.
        """
        assert self.module is not None
        if self.pipeline is not None:
            return self._pipelined([to_device(part, self.device) for part in parts], targets)
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            module: Any = self.module
            if hasattr(module, "set_requires_gradient_sync"):  # FSDP
                module.set_requires_gradient_sync(last)
            with module.no_sync() if hasattr(module, "no_sync") and not last else nullcontext():  # DDP
                # Processes average their gradients; the loss is a sum over all of them.
                loss = self.module(to_device(part, self.device)) * (self.data_size / targets)
                loss.backward()
            total += loss.detach()
        return self.sum(total) / self.size

    def _pipelined(self, parts: Sequence[Batch], targets: int) -> Tensor:
        assert self.pipeline is not None
        total = self.pipeline.backward(parts, self.data_size / targets)
        if self.recipe.shard == self.recipe.tensor == 1 and self.data_size > 1:
            group = self.mesh["replicate"].get_group()
            for parameter in self.pipeline.stage.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad.div_(self.data_size), group=group)
        # Only last stages know their loss; each of `tensor` processes the same one.
        return self.sum(total) / self.data_size / self.recipe.tensor

    def evaluate(self, part: Batch, groups: Tensor, count: int) -> Tensor:
        """The summed loss of some held-out rows by group of target, `[count]`; the same in every process."""
        assert self.module is not None
        if self.pipeline is not None:
            return self.pipeline.evaluate(to_device(part, self.device), groups.to(self.device), count)
        module: Any = self.module
        sums: Tensor = module(to_device(part, self.device), groups.to(self.device), count)
        if hasattr(module, "reshard"):  # FSDP keeps what it gathered for a backward pass
            module.reshard()
        return sums

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def broadcast(self, message: Any) -> Any:
        """What the main process says, for all of them."""
        if self.size == 1:
            return message
        box = [message]
        dist.broadcast_object_list(box, device=self.device)
        return box[0]

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)))

    def square(self, gradients: Sequence[Tensor]) -> Tensor:
        """The squared norm of gradients, each number of the whole model counted once."""
        stage = None if self.pipeline is None else self.pipeline.stage
        twice = None if stage is None or stage.first or stage.shared is None else stage.shared.grad
        by_split: dict[tuple[str, ...], list[Tensor]] = {}
        for gradient in gradients:
            if gradient is twice:  # the first stage counts it
                continue
            by_split.setdefault(split_over(gradient), []).append(local(gradient))
        total = torch.zeros((), device=self.device)
        for dims, parts in sorted(by_split.items(), key=lambda item: item[0]):
            square = torch.stack(torch._foreach_norm(parts)).square().sum()
            for dim in dims:
                dist.all_reduce(square, group=self.mesh[dim].get_group())
            total += square
        if self.pipeline is not None:
            dist.all_reduce(total, group=self.pipeline.group)
        return total

    def whole(self, model: Transformer) -> dict[str, Tensor]:
        """The model's weights, whole, in the main process's memory."""
        weights = {name: full(tensor).detach().cpu() for name, tensor in model.state_dict().items()}
        if self.pipeline is not None:
            stages: list[Any] = [None] * self.size
            dist.all_gather_object(stages, weights)
            weights = {name: tensor for stage in stages for name, tensor in stage.items()}
        return weights

    def close(self) -> None:
        """Leave the group of processes."""
        if self.size > 1:
            dist.destroy_process_group()


def alone() -> ParallelContext:
    """The place of a process that has no others, on a processor."""
    return ParallelContext(ParallelRecipe(), torch.device("cpu"))


def start(recipe: ParallelRecipe, device: str) -> ParallelContext:
    """Find this process's place: what torchrun set in the environment, or alone.

    Raises:
        HeadstartError: the layout does not fit the number of processes, no GPU, or nobody answers.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    others = recipe.shard * recipe.tensor * recipe.pipeline
    if size % others or recipe.replicate not in (None, size // others):
        raise HeadstartError(
            f"parallel: replicate={recipe.replicate or 1} x shard={recipe.shard} x tensor={recipe.tensor} "
            f"x pipeline={recipe.pipeline} is not the number of processes, {size}; start as many with "
            "torchrun --nproc-per-node"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise HeadstartError("device=cuda, but PyTorch finds no GPU here; take device=cpu")
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if size > 1:
        try:
            dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(seconds=recipe.timeout))
        except (RuntimeError, ValueError) as error:
            raise HeadstartError(
                f"process {rank} of {size} cannot reach the others ({_first(error)})"
            ) from None
    return ParallelContext(recipe, place, rank, size)


def lost_contact(error: RuntimeError, layout: ParallelContext) -> HeadstartError | None:
    """The sentence for an error that says that another process is gone; None: it says something else."""
    text = str(error)
    signs = ("gloo", "NCCL", "Connection closed", "Connection reset", "Timed out", "timed out", "Broken pipe")
    if layout.size == 1 or not any(sign in text for sign in signs):
        return None
    return HeadstartError(
        f"process {layout.rank} of {layout.size} lost contact with another ({_first(error)}); the last "
        "checkpoint is whole: start the same again"
    )


def _first(error: Exception) -> str:
    """The first sentence of an error, without the place in PyTorch's sources that it may begin with."""
    line = re.sub(r"^\[\S+:\d+\]\s*", "", (str(error).splitlines() or [type(error).__name__])[0])
    return line.split(". ")[0][:200]


def _blocks(model: Transformer) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def _has(block: Block, name: str) -> bool:
    part: Any = block
    for step in name.split("."):
        part = getattr(part, step, None)
    return part is not None
