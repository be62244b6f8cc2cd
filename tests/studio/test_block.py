"""The Block view: the diagram is the model, and sharing heads does what it says."""

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.models.catalogue.diagram import diagram
from headstart.models.flops import flops_by_part
from headstart.models.parameters import cache_bytes, parameters
from headstart.models.registry import FAMILIES, preset_config, presets
from headstart.models.shared_heads import pool_key_value_heads
from headstart.studio import frames
from headstart.training.restore import load_any

API = "/api/v1"


def frame(answer):
    assert answer.status_code == 200, answer.text
    return frames.decode(answer.content)


@pytest.mark.parametrize("name", presets())
def test_parts_add_up_to_the_whole(name) -> None:
    config = preset_config(name)
    made = diagram(config, 3, 40)
    parts = flops_by_part(config, 3, 40, source=40 if config.encoder_layers else 0)
    assert made.parameters == parameters(config)
    assert made.flops == sum(part.forward for part in parts.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_the_diagram_are_the_models(family, tiny) -> None:
    try:
        model = tiny(family)
    except HeadstartError:  # a family that fixes its sizes
        pytest.skip("its sizes are fixed")
    weights, made = model.state_dict(), diagram(model.config, 1, 8)
    for stack in made.stacks:
        named = [(part, [0]) for part in (*stack.before, *stack.after)]
        named += [(part, range(stack.layers)) for part in stack.block]
        for part, layers in named:
            for layer in layers:
                for name, shape in part.weights:
                    if part.kind == "norm" and layer == 0 and stack.missing and "attention_norm" in name:
                        continue
                    assert tuple(weights[name.format(layer)].shape) == shape, name
    for part in (made.embedding, *made.output):
        for name, shape in part.weights:
            assert tuple(weights[name].shape) == shape, name


def test_the_route_describes_model_and_preset(studio, studio_root) -> None:
    fields, _ = frame(studio.get(f"{API}/block", params={"at": "run/model", "rows": 2, "row": 16}))
    model = load_any(studio_root / "run").model
    assert fields["parameters"] == sum(one.numel() for one in model.parameters())
    at = fields["shares"].index(model.config.kv_heads)
    assert fields["cache_bytes"][at] == fields["cache_now"] == cache_bytes(model.config, 1)
    large, _ = frame(studio.get(f"{API}/block", params={"preset": "llama-3.1-405b"}))
    config = preset_config("llama-3.1-405b")
    assert large["parameters"] == parameters(config)
    many, few = large["cache_bytes"][-1], large["cache_bytes"][large["shares"].index(8)]
    assert many == 16 * few
    assert len(large["frequencies"]) == config.head_width // 2
    assert studio.get(f"{API}/block", params={"preset": "nonesuch"}).status_code == 400


def test_a_task_head_is_counted_beside_the_diagram(studio, labelled_root) -> None:
    """Together they are all the weights that were fine-tuned."""
    fields, _ = frame(studio.get(f"{API}/block", params={"at": "places/model"}))
    task = load_any(labelled_root / "places" / "model")
    assert fields["head"] == sum(tensor.numel() for tensor in task.classifier.values()) > 0
    assert fields["parameters"] + fields["head"] == task.metadata["finetuning"]["learning_weights"]


def test_turned_scores_depend_on_the_distance_alone(studio) -> None:
    """The frequencies of the view, by the model's own rotation."""
    from headstart.models.config import Rotary
    from headstart.models.parts.positions import rotary_table, rotate

    fields, _ = frame(studio.get(f"{API}/block", params={"at": "run/model"}))
    width = 2 * len(fields["frequencies"])
    ones = torch.ones(1, 1, 1, width)

    def score(query: int, key: int) -> float:
        at = [rotary_table(torch.tensor([n]), Rotary(width, 10_000.0), torch.float32) for n in (query, key)]
        return float((rotate(ones, at[0]) * rotate(ones, at[1])).sum())

    turned = sum(2 * np.cos(4 * frequency) for frequency in fields["frequencies"])
    assert score(9, 5) == pytest.approx(turned, abs=1e-4)
    assert score(209, 205) == pytest.approx(turned, abs=1e-3)


def test_a_weight_is_shown_as_it_is(studio, studio_root) -> None:
    name = "decoder.blocks.1.feedforward.up.weight"
    fields, found = frame(studio.get(f"{API}/weight", params={"at": "run/model", "name": name}))
    matrix = load_any(studio_root / "run").model.state_dict()[name].float()
    assert fields["shape"] == list(matrix.shape)
    np.testing.assert_allclose(found["cells"], matrix.numpy(), atol=1e-6)
    np.testing.assert_allclose(found["spectrum"], torch.linalg.svdvals(matrix).numpy(), rtol=1e-3, atol=1e-5)
    assert studio.get(f"{API}/weight", params={"at": "run/model", "name": "none"}).status_code == 400


def test_gates_are_those_that_the_layer_computes(studio, studio_root) -> None:
    asked = {"at": "run/model", "text": "It was the best", "layer": 1}
    fields, found = frame(studio.post(f"{API}/gates", json=asked))
    loaded = load_any(studio_root / "run")
    ids = loaded.tokenizer.with_special(loaded.tokenizer.encode("It was the best"))[0]
    kept = {}
    gate = loaded.model.decoder.blocks[1].feedforward.gate
    gate.register_forward_hook(lambda module, given, made: kept.update(gate=made))
    with torch.no_grad():
        loaded.model(torch.tensor([ids]))
    assert len(fields["texts"]) == len(ids)
    np.testing.assert_allclose(found["gates"], torch.nn.functional.silu(kept["gate"])[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("family", ["headstart-decoder", "gpt2", "t5", "qwen3", "olmo2", "headstart-encoder"])
def test_shared_heads_are_means(family, tiny) -> None:
    model = tiny(family).eval()
    ids = torch.arange(12)[None] + 20
    source = ids if model.config.encoder_layers else None

    def run(one):
        with torch.no_grad():
            states = None if source is None else one.encode(source)
            return one(ids, encoder_states=states)

    before = run(model)
    torch.testing.assert_close(run(pool_key_value_heads(model, 4)), before)
    shared = pool_key_value_heads(model, 2)
    assert shared.config.kv_heads == 2
    # With key-value heads that are equal already, pooling changes nothing.
    for name, tensor in model.state_dict().items():
        if "attention." in name and name.endswith((".key.weight", ".value.weight")):
            by_head = tensor.unflatten(0, (4, -1))
            by_head[:] = by_head[:1].clone()
        if name.endswith("key_norm.weight") and model.config.query_key_norm == "width":
            tensor[:] = 1
    if model.config.query_key_norm != "width":  # a norm over all heads sees how many there are
        torch.testing.assert_close(run(pool_key_value_heads(model, 1)), run(model), atol=1e-4, rtol=1e-4)
    with pytest.raises(HeadstartError, match="cannot become 3"):
        pool_key_value_heads(model, 3)


def test_the_cost_of_sharing_is_measured(studio) -> None:
    asked = {"at": "run/model", "run": "run", "kv_heads": 4}
    same, _ = frame(studio.post(f"{API}/share", json=asked))
    assert same["before"] == pytest.approx(same["after"], abs=1e-6)
    fewer, _ = frame(studio.post(f"{API}/share", json=asked | {"kv_heads": 1}))
    assert fewer["before"] == pytest.approx(same["before"])
    assert fewer["after"] != pytest.approx(same["before"], abs=1e-7)
    assert fewer["targets"] > 100
    answer = studio.post(f"{API}/share", json=asked | {"run": "run/model"})
    assert "cannot be measured" in answer.json()["error"]["message"]
