"""What the studio says is what the product computes."""

import json
import shutil

import numpy as np
import pytest
import torch

from headstart.api import Model, load
from headstart.generation.config import GenerationConfig
from headstart.generation.sampling import choose
from headstart.models.observe import observe
from headstart.studio import frames
from headstart.studio.events import columns, cursor_of, history
from headstart.training.metrics import Metrics, read_metrics
from headstart.training.restore import load_any

API = "/api/v1"


def frame(answer):
    assert answer.status_code == 200, answer.text
    return frames.decode(answer.content)


def test_frames_come_back_as_they_went() -> None:
    tensors = {
        "a": np.arange(7, dtype=np.uint8),
        "b": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
        "empty": np.zeros((0, 4), np.int32),
        "c": np.array([0.1, 0.2]),
    }
    fields, found = frames.decode(frames.encode({"text": "größer", "number": 3}, tensors))
    assert fields == {"text": "größer", "number": 3}
    assert all(np.array_equal(found[name], tensor) for name, tensor in tensors.items())
    weights = np.random.default_rng(1).random(1000)
    assert np.abs(frames.quantised(weights) / 255 - weights).max() <= 0.002


def test_the_listing_knows_kinds_and_states(studio) -> None:
    folders = {one["at"]: one for one in studio.get(f"{API}/folders").json()}
    assert folders["run"]["kind"] == "run"
    assert folders["run"]["architecture"] == "decoder"
    assert folders["tokens"]["kind"] == "tokens"
    account = studio.get(f"{API}/folder", params={"at": "run"}).json()
    steps = [state["step"] for state in account["states"]]
    assert steps[0] == 0
    assert steps[-1] is None
    assert steps[:-1] == sorted(steps[:-1])
    assert account["recipe"]["steps"] == 8


@pytest.fixture(scope="module")
def ids(studio) -> list[int]:
    fields, _ = frame(studio.post(f"{API}/tokenize", json={"at": "run/model", "text": "It was the best of"}))
    return fields["ids"]


@pytest.mark.parametrize("state", ["run", "run/model", "run/snapshots/step-0", "run/checkpoints/step-4"])
def test_a_trace_is_what_the_model_computes(studio, studio_root, ids, state) -> None:
    _, found = frame(studio.post(f"{API}/trace", json={"at": state, "ids": ids, "prompt": len(ids)}))
    loaded = load_any(studio_root / state)
    with torch.no_grad():
        hidden = loaded.model(torch.tensor([ids]))
        logits = loaded.model.logits(hidden)[0]
        seen = observe(loaded.model, torch.tensor([ids]))
    np.testing.assert_allclose(found["logits"], logits[-1].numpy(), atol=1e-5)
    chances = logits.log_softmax(-1)
    bits = [-float(chances[t, index]) / np.log(2) for t, index in enumerate(ids[1:])]
    np.testing.assert_allclose(found["surprise"][1:], bits, rtol=1e-4)
    assert found["attention"].shape == (2, 4, len(ids), len(ids))
    exact = torch.cat([seen.attention[f"decoder.{n}.self"] for n in range(2)]).numpy()
    assert np.abs(found["attention"] / 255 - exact).max() <= 0.003
    assert found["lens"][-1][0] == int(logits[-1].argmax())


def test_what_is_drawn_from_is_what_generate_draws_from(studio, studio_root, ids) -> None:
    """Token by token: the constrained logits and the draws of a seed give the text of `generate`."""
    facts, tensors = frame(studio.get(f"{API}/model", params={"at": "run/model", "seed": 5}))
    config = GenerationConfig(temperature=0.9, top_k=40, top_p=0.95, seed=5, max_new_tokens=10)
    written: list[int] = []
    for depth in range(10):
        asked = {"at": "run/model", "ids": [*ids, *written], "prompt": len(ids)}
        _, found = frame(studio.post(f"{API}/trace", json=asked))
        token = int(
            choose(torch.from_numpy(found["constrained"])[None], config, [tensors["uniforms"][depth]])[0]
        )
        if token in facts["stop"]:
            break
        written.append(token)
    settings = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "seed": 5, "max_new_tokens": 10}
    asked = {"at": "run/model", "ids": ids, "settings": settings}
    answer, _ = frame(studio.post(f"{API}/continue", json=asked))
    assert answer["ids"] == written
    text = load(studio_root / "run").generate("It was the best of", **settings)
    assert text == answer["text"]


def test_a_row_comes_about(studio, ids) -> None:
    asked = {"at": "run/model", "ids": ids, "name": "decoder.1.self", "head": 2, "place": 3}
    fields, found = frame(studio.post(f"{API}/row", json=asked))
    products = found["keys"] @ found["query"]
    np.testing.assert_allclose(found["products"], products, atol=1e-5)
    np.testing.assert_allclose(found["scores"], products * fields["scale"], atol=1e-5)
    assert list(found["visible"]) == [1] * 4 + [0] * (len(ids) - 4)
    np.testing.assert_allclose(found["weights"].sum(), 1, atol=1e-6)
    np.testing.assert_allclose(found["mixed"], found["weights"] @ found["values"], atol=1e-5)


def test_the_beam_tree_ends_where_beam_search_ends(studio, studio_root, ids) -> None:
    answer, _ = frame(
        studio.post(f"{API}/beams", json={"at": "run/model", "ids": ids, "beams": 3, "tokens": 4})
    )
    nodes, place, way = answer["nodes"], answer["best"], []
    while place >= 0:
        way.insert(0, nodes[place]["id"])
        place = nodes[place]["parent"]
    assert len([node for node in nodes if node["kept"]]) <= 12
    asked = {"beams": 3, "temperature": 0.0, "max_new_tokens": 4}
    loaded = load_any(studio_root / "run")
    assert loaded.tokenizer.decode(way) == Model(loaded).generate("It was the best of", **asked)


def test_mistakes_are_sentences(studio, ids) -> None:
    trace = {"at": "run/model", "ids": ids, "prompt": 1}
    for change, said in (
        ({"ids": [0] * 40}, "more than the 32"), ({"ids": [99_999]}, "not in this model's vocabulary"),
        ({"ids": []}, "nothing to go on from"), ({"at": "tokens"}, "tokens"),
    ):  # fmt: skip
        answer = studio.post(f"{API}/trace", json=trace | change)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
    answer = studio.post(f"{API}/trace", json={"at": "run"})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("ids")


def test_metrics_are_those_of_the_file(studio, studio_root) -> None:
    fields, found = frame(studio.get(f"{API}/metrics", params={"at": "run"}))
    events = [event for event in read_metrics(studio_root / "run") if event["kind"] == "step"]
    assert fields["last"]["loss"] == events[-1]["loss"]
    loss = found["steps"][fields["columns"].index("loss")]
    np.testing.assert_allclose(loss[:, 2], [event["loss"] for event in events], rtol=1e-6)
    assert [one["step"] for one in fields["evaluations"]] == [0, 4, 8]


def test_many_steps_become_buckets_that_keep_extremes(tmp_path) -> None:
    metrics = Metrics(tmp_path, 0, sinks=())
    for step in range(1, 2001):
        metrics.write("step", step, loss=100.0 if step == 777 else 1 / step)
    metrics.close()
    _, found = history(tmp_path, 50)
    loss = found["steps"][1]
    assert loss.shape == (50, 3)
    assert loss[:, 1].max() == 100, "a spike is not averaged away"
    assert loss[:, 0].min() == pytest.approx(1 / 2000)
    assert columns([], 10).shape == (12, 0, 3)


def test_a_stream_goes_on_where_it_was_left(tmp_path) -> None:
    """By the cursor that the history and every event have: nothing is lost, nothing comes twice."""
    import asyncio

    from headstart.studio.events import stream

    metrics = Metrics(tmp_path, 0, sinks=())
    metrics.write("step", 1, loss=3.0)
    cursor = history(tmp_path, 10)[0]["after"]
    metrics.write("step", 2, loss=2.0)

    async def first(after: str) -> tuple[list[int], str]:
        async for part in stream(tmp_path, after):
            if b"event: metrics" in part:
                head, _, data = part.partition(b"\nevent: metrics\ndata: ")
                return [event["step"] for event in json.loads(data)], head.removeprefix(b"id: ").decode()
        raise AssertionError

    steps, after = asyncio.run(first(cursor))
    assert steps == [2]
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"seq": 3, "kind": "st')  # half a line waits for the rest
    metrics.close()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'ep", "step": 3, "time": 0}\n')
    assert asyncio.run(first(after))[0] == [3]
    assert asyncio.run(first("nonsense"))[0] == [1, 2, 3]
    assert cursor_of("12-3").seq == 3


def test_a_capture_shows_the_step(studio, studio_root) -> None:
    kept = studio.get(f"{API}/kept", params={"at": "run"}).json()
    assert kept["captures"] == [1, 5]
    fields, found = frame(studio.get(f"{API}/capture", params={"at": "run", "step": 5}))
    assert len(fields["tokens"]) == 32
    assert found["norm.decoder.embedding"].shape == (32,)
    facts = json.loads((studio_root / "run" / "captures" / "step-000005" / "capture.json").read_text())
    rows = [
        frame(studio.get(f"{API}/capture", params={"at": "run", "step": 5, "row": row}))[1]["loss"]
        for row in (0, 1)
    ]
    assert np.concatenate(rows).mean() == pytest.approx(facts["loss"], rel=1e-5)
    assert studio.get(f"{API}/capture", params={"at": "run", "step": 2}).status_code == 400


def test_a_run_is_steered(studio, studio_root, tmp_path) -> None:
    run = studio_root / "steered"
    shutil.copytree(
        studio_root / "run", run, ignore=shutil.ignore_patterns("model", "checkpoints", "snapshots")
    )
    asked = {"at": "steered", "action": "set_learning_rate", "number": 0.002}
    assert studio.post(f"{API}/control", json=asked).json() == {"sent": "set_learning_rate"}
    assert json.loads((run / "control.json").read_text()) == [
        {"seq": 1, "action": "set_learning_rate", "rate": 0.002}
    ]
    for wrong in (
        {"at": "steered", "action": "explode"},
        {"at": "steered", "action": "set_learning_rate", "number": -1},
    ):
        assert studio.post(f"{API}/control", json=wrong).status_code == 422
    assert studio.post(f"{API}/control", json={"at": "tokens", "action": "pause"}).status_code == 400


def test_a_studio_that_only_looks(studio_root) -> None:
    from starlette.testclient import TestClient

    from headstart.studio.app import Options, create

    guard = create([studio_root], 8124, Options(read_only=True))
    client = TestClient(
        guard, base_url="http://127.0.0.1:8124", headers={"authorization": f"Bearer {guard.token}"}
    )
    for path, given in (
        ("control", {"at": "run", "action": "pause"}),
        ("jobs", {"verb": "quickstart", "out": "q"}),
    ):
        answer = client.post(f"{API}/{path}", json=given)
        assert answer.status_code == 400
        assert "--read-only" in answer.json()["error"]["message"]


def test_jobs_are_found_again(studio, studio_root) -> None:
    """A job is a process of its own, which another studio knows by its number and its beginning."""
    from headstart.studio.jobs import Jobs

    for out in ("../elsewhere", ".", "/tmp/x"):
        answer = studio.post(f"{API}/jobs", json={"verb": "pretrain", "out": out})
        assert answer.status_code == 400, out
    assert studio.post(f"{API}/jobs", json={"verb": "rm", "out": "x"}).status_code == 400
    hostile = {"verb": "pretrain", "out": "x", "options": {"recipe=/etc/passwd --x": "1"}}
    assert studio.post(f"{API}/jobs", json=hostile).status_code == 400
    outside = {"verb": "pretrain", "out": "x", "settings": {"tokens": "/etc"}}
    assert studio.post(f"{API}/jobs", json=outside).status_code == 404

    started = studio.post(f"{API}/jobs", json={"verb": "plan sweep", "out": "planned"}).json()
    jobs = Jobs(studio_root)
    job = jobs.find(started["id"])
    deadline = 400
    while studio.get(f"{API}/jobs").json()[0]["running"] and deadline:
        deadline -= 1
        import time

        time.sleep(0.1)
    assert not jobs.running(job)
    assert studio.get(f"{API}/jobs/{job.id}/log").json()["text"]
