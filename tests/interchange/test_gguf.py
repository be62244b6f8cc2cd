"""GGUF files: transformers reads ours and computes the same, we read them back, damaged ones are refused."""

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.interchange.gguf_file import read_gguf, write_gguf
from headstart.interchange.model_folder import load_model, save_model
from headstart.interchange.transfer import export_model, import_model
from headstart.models.config import RotaryScaling
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer, build

LLAMAS = {
    "llama": {"kv_heads": 2},
    "headstart-decoder": {"kv_heads": 1},
    "gpt2": {"context": 1024, "feedforward_width": 256},  # transformers takes these for granted
}


def stirred(family: str, **sizes) -> Transformer:
    usual = {"vocab_size": 600, "layers": 2, "width": 64, "heads": 4, "feedforward_width": 96, "context": 64}
    model = build(make_config(family, usual | sizes), 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    return model.eval()


@pytest.mark.parametrize("family", LLAMAS)
def test_transformers_computes_the_same(family, tokenizer, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    model = stirred(family, **LLAMAS[family])
    save_model(tmp_path / "m", model, tokenizer, "causal", "card")
    ids = torch.randint(4, 600, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = model.logits(model(ids))
        for numbers, tolerance in (("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 5e-2), ("q8_0", 5e-2)):
            facts = export_model(tmp_path / "m", tmp_path / f"{numbers}.gguf", "gguf", numbers)
            assert facts["difference"] <= 1e-5
            theirs = AutoModelForCausalLM.from_pretrained(
                tmp_path, gguf_file=f"{numbers}.gguf", dtype=torch.float32
            )
            reference = theirs(ids).logits
            assert float((ours - reference).abs().max() / reference.abs().max()) < tolerance, numbers
            import_model(tmp_path / f"{numbers}.gguf", tmp_path / f"from-{numbers}")
            again = load_model(tmp_path / f"from-{numbers}")
            mine = again.model.eval().logits(again.model(ids))
            assert float((mine - reference).abs().max() / reference.abs().max()) < 1e-5, numbers
    text = "Emma Woodhouse, handsome — clever, 2,500 & rich 🙂"
    assert again.tokenizer.encode(text) == tokenizer.encode(text)
    assert again.tokenizer.special.end == tokenizer.special.end


def test_sizes_and_weights_come_back(tokenizer, tmp_path) -> None:
    model = stirred(
        "llama",
        kv_heads=2,
        head_width=12,
        rotary_base=500_000.0,
        rotary_scaling=RotaryScaling(factor=32.0, original_context=8192),
        context=16_384,
        tied=True,
        vocab_size=640,  # more rows than the tokenizer has tokens
    )
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small")
    again, fields = read_gguf(tmp_path / "m.gguf")
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert fields["general.name"] == "small"
    import_model(tmp_path / "m.gguf", tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.tokenizer.vocab_size == 600
    assert loaded.model.config.vocab_size == 640


def test_the_reference_reader_agrees(tokenizer, tmp_path) -> None:
    model = stirred("llama")
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small", chat_template="{{ messages }}")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    fields = {name: part.contents() for name, part in reader.fields.items()}
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.chat_template"] == "{{ messages }}"
    assert len(fields["tokenizer.ggml.tokens"]) == 600
    down = next(t for t in reader.tensors if t.name == "blk.1.ffn_down.weight")
    assert np.array_equal(down.data, model.decoder.blocks[1].feedforward.down.weight.detach().numpy())


@pytest.fixture(scope="module")
def whole(tokenizer, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    write_gguf(path, stirred("llama", layers=1, width=16, feedforward_width=32), tokenizer, "f32", "small")
    return path.read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_files_are_refused(whole, tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("damaged") / "m.gguf"
    cut = data.draw(st.integers(0, len(whole) - 4000))
    path.write_bytes(whole[:cut])
    with pytest.raises(HeadstartError):
        read_gguf(path)


def test_what_gguf_does_not_know(tokenizer, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="Llama and GPT-2"):
        write_gguf(tmp_path / "m.gguf", stirred("bert"), tokenizer, "f32", "small")
    (tmp_path / "text.gguf").write_text("no model at all")
    with pytest.raises(HeadstartError, match="no GGUF file"):
        read_gguf(tmp_path / "text.gguf")
    with pytest.raises(HeadstartError, match="there is no file"):
        read_gguf(tmp_path / "nowhere.gguf")
