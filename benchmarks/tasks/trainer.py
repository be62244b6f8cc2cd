"""The peer: transformers' Trainer on the same examples, as its example scripts use it.

Texts are cut at 256 tokens, batches padded to their longest, the label of a word stands at its first token.
The rate and the passes over the data are the field's advice: 5e-5 and 3 passes; with few labels 20, as
Mosbach et al. 2020 found.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from headstart.tasks.examples import Examples
from headstart.training.machine import dtype_named

MAX_TOKENS = 256
LEARNING_RATE = 5e-5
FEW = 300


class Trained:
    """A model fine-tuned by the Trainer."""

    def __init__(self, folder: Path, train: Examples, seed: int, out: Path) -> None:
        self.labels, self.tagging = train.labels, train.task == "tagging"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        kind = AutoModelForTokenClassification if self.tagging else AutoModelForSequenceClassification
        torch.manual_seed(seed)
        model = kind.from_pretrained(folder, num_labels=len(self.labels))
        collator = DataCollatorForTokenClassification if self.tagging else DataCollatorWithPadding
        arguments = TrainingArguments(
            str(out),
            num_train_epochs=20 if len(train) <= FEW else 3,
            learning_rate=LEARNING_RATE,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=32,
            warmup_steps=0.1,
            bf16=dtype_named("auto") == torch.bfloat16,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        self.trainer = Trainer(
            model,
            arguments,
            train_dataset=self._rows(train.inputs, train.targets),
            data_collator=collator(self.tokenizer),
        )
        done = self.trainer.train()
        self.facts = {"steps": done.global_step, "last_loss": round(done.training_loss, 4)}

    def _rows(self, inputs: Sequence[Any], targets: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Encoded examples, with labels if there are any."""
        number = {label: place for place, label in enumerate(self.labels)}
        rows = []
        for place, given in enumerate(inputs):
            if self.tagging:
                encoded = self._words(given)
                row = dict(encoded)
                if targets is not None:
                    row["labels"] = [
                        -100 if word is None or word == before else number[targets[place][word]]
                        for before, word in zip([None, *encoded.word_ids()], encoded.word_ids(), strict=False)
                    ]
            else:
                texts = given if isinstance(given, tuple) else (given,)
                row = dict(self.tokenizer(*texts, truncation=True, max_length=MAX_TOKENS))
                if targets is not None:
                    row["labels"] = number[targets[place]]
            rows.append(row)
        return rows

    def _words(self, words: Sequence[str]) -> Any:
        return self.tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=MAX_TOKENS)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """A label for each text, or tags for its words; a word that was cut off gets the first tag."""
        # Like lengths together, which the Trainer does not do by itself when it predicts.
        order = sorted(range(len(inputs)), key=lambda place: len(str(inputs[place])))
        scores = self.trainer.predict(self._rows([inputs[place] for place in order])).predictions
        found: list[Any] = [None] * len(inputs)
        for place, one in zip(order, scores, strict=True):
            best = np.argmax(one, -1)
            if not self.tagging:
                found[place] = self.labels[int(best)]
                continue
            encoded = self._words(inputs[place])
            tags = [self.labels[0]] * len(inputs[place])
            for token, word in reversed(list(enumerate(encoded.word_ids()))):
                if word is not None:
                    tags[word] = self.labels[int(best[token])]
            found[place] = tags
        return found
