"""Masked pre-training as run_mlm.py does it, for so many core-seconds: BertForMaskedLM and the Trainer.

15 % of the tokens are hidden anew in every batch, the head reads all positions, texts are joined and cut into
rows. bfloat16 by autocast, which is faster than the default; the rate falls in a line, as is the default.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.time_to_loss.judge import Clock, core_seconds, gemm_gflops, heldout, judge
from headstart.tokenizer.folder import open_tokenizer


class Rows(torch.utils.data.Dataset):
    """The stream cut into rows, as `group_texts` does."""

    def __init__(self, tokens: Path, context: int) -> None:
        self.stream = np.concatenate(
            [np.load(path, mmap_mode="r") for path in sorted(tokens.glob("train-*.npy"))]
        )
        self.context = context

    def __len__(self) -> int:
        return len(self.stream) // self.context

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": self.stream[row * self.context : (row + 1) * self.context].astype(np.int64)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--core-seconds", type=float, default=1200)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    tokenizer = open_tokenizer(given.tokens)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.path), mask_token="<mask>", pad_token="<pad>")
    collator = DataCollatorForLanguageModeling(fast, mlm_probability=0.15)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=given.width,
        num_hidden_layers=given.layers,
        num_attention_heads=given.heads,
        intermediate_size=4 * given.width,
        max_position_embeddings=given.context,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    known = heldout(given.tokens, "masked", given.context)
    clock, curve = Clock(), []

    def trained(steps: int, watch: TrainerCallback | None) -> BertForMaskedLM:
        torch.manual_seed(0)
        model = BertForMaskedLM(config)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                max_steps=steps,
                per_device_train_batch_size=given.batch,
                learning_rate=given.rate,
                warmup_steps=max(1, steps // 50),
                weight_decay=0.01,
                bf16=True,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            callbacks = [watch] if watch else []
            Trainer(
                model,
                arguments,
                data_collator=collator,
                train_dataset=Rows(given.tokens, given.context),
                callbacks=callbacks,
            ).train()
        return model

    class Watch(TrainerCallback):
        def __init__(self, steps: int) -> None:
            self.every = max(1, steps // given.points)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
            if state.global_step % self.every and state.global_step != state.max_steps:
                return
            clock.stop()
            model.eval()
            with torch.autocast("cpu", torch.bfloat16):
                loss = judge(
                    known, lambda part: model.cls(model.bert(part.ids)[0].flatten(0, 1)[part.positions])
                )
            model.train()
            tokens = state.global_step * given.batch * given.context
            curve.append({"core_seconds": round(clock.seconds, 2), "loss": round(loss, 5), "tokens": tokens})
            print(json.dumps(curve[-1]), flush=True)
            clock.start()

    before = gemm_gflops()
    trained(3, None)
    began = core_seconds()
    trained(13, None)
    middle = core_seconds()
    trained(3, None)
    cost = (middle - began - (core_seconds() - middle)) / 10
    steps = max(50, int(given.core_seconds / cost))
    clock.start()
    model = trained(steps, Watch(steps))
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    probes = [before, gemm_gflops()]
    found = {"settings": settings, "parameters": parameters, "gemm_gflops": probes, "curve": curve}
    given.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
