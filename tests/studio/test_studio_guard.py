"""Each way in that has to stay closed, once as an attack."""

import subprocess
import sys

import pytest

API = "/api/v1"


def test_the_server_has_no_torch() -> None:
    """It is ready in a blink and small; models are another process's."""
    code = (
        "import sys, headstart.studio.app, headstart.cli.studio;"
        "print([name for name in ('torch', 'transformers', 'scipy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_without_the_token_there_is_nothing(plain) -> None:
    for path in ("/", f"{API}/folders", f"{API}/openapi.json", "/index.html"):
        assert plain.get(path).status_code == 401, path
    assert plain.get(f"{API}/folders", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert plain.get("/?token=wrong").status_code == 401


def test_the_token_leaves_the_address_for_a_cookie(plain, studio) -> None:
    answer = plain.get(f"/?token={studio.guard.token}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert str(studio.guard.port) in cookie.split("=")[0]
    assert plain.get(f"{API}/status").status_code == 200  # the client kept it


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "studio.localhost:8123", ""])
def test_another_host_is_refused_before_anything_else(studio, host) -> None:
    """Under DNS rebinding the page of another site is of our origin, so that the host's name has to tell."""
    answer = studio.get(f"{API}/status", headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "host"


def test_another_site_is_refused(studio, plain) -> None:
    given = {"at": "run", "action": "pause"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert studio.post(f"{API}/control", json=given, headers=headers).status_code == 403, headers
        assert studio.get(f"{API}/status", headers=headers).status_code == 403, headers
    plain.get(f"/?token={studio.guard.token}")
    assert plain.post(f"{API}/control", json=given).status_code == 403, (
        "a cookie alone does not change anything"
    )
    form = {"content-type": "text/plain", "origin": f"http://127.0.0.1:{studio.guard.port}"}
    assert studio.post(f"{API}/control", content=b"{}", headers=form).status_code == 415
    assert "access-control-allow-origin" not in studio.get(f"{API}/status").headers


def test_large_requests_are_refused(studio) -> None:
    answer = studio.post(f"{API}/tokenize", json={"at": "run", "text": "x" * 1_000_001})
    assert answer.status_code == 413
    answer = studio.post(f"{API}/tokenize", json={"at": "run", "text": "x" * 20_001})
    assert answer.status_code == 422


def test_every_answer_is_locked_down(studio) -> None:
    headers = studio.get(f"{API}/status").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "at",
    ["/etc", "../", "run/../../", "link", "link/passwd", "9:run", "run\0", "..\\..", "nowhere", "~", "0:../"],
)
def test_nothing_outside_of_the_roots_can_be_addressed(studio, studio_root, at) -> None:
    """And the answer does not tell whether it is there."""
    link = studio_root / "link"
    if not link.exists():
        link.symlink_to("/etc")
    answer = studio.get(f"{API}/folder", params={"at": at})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("there is nothing at")


def test_a_hostile_folder_is_a_sentence(studio, studio_root) -> None:
    """A configuration far larger than its file of weights, one with markup, one that is no JSON."""
    import json

    from safetensors.numpy import save_file

    hostile = studio_root / "hostile"
    hostile.mkdir(exist_ok=True)
    save_file({}, hostile / "model.safetensors")
    huge = {"model_type": "llama", "hidden_size": 10**6, "num_hidden_layers": 10**6, "num_attention_heads": 8,
            "intermediate_size": 10**7, "vocab_size": 10**6}  # fmt: skip
    odd = [huge | {"num_attention_heads": value} for value in (0, -8, "8", None, [8], 1e999, 2**70)]
    for config in (
        *map(json.dumps, [huge, *odd, huge | {"architectures": {"a": 1}, "headstart": 7}]),
        *('{"model_type": "<img src=x onerror=alert(1)>"}', "{", "[]", "[" * 100_000, "\ud800", ""),
    ):
        (hostile / "config.json").write_text(config, encoding="utf-8", errors="surrogatepass")
        answer = studio.get(f"{API}/model", params={"at": "hostile"})
        assert answer.status_code == 400, config
        assert "Traceback" not in answer.text
        assert studio.get(f"{API}/folders").status_code == 200
    (hostile / "config.json").unlink()


def test_a_full_disk_and_a_file_that_went_away_are_sentences(studio, studio_root, monkeypatch) -> None:
    import errno
    import os

    from headstart.training import control

    def refuse(number: int):
        def write(path, value) -> None:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(control, "write_json", write)
        answer = studio.post(f"{API}/control", json={"at": "run", "action": "pause"})
        return answer.status_code, answer.json()["error"]["message"]

    status, said = refuse(errno.ENOSPC)
    assert (status, said[:40]) == (507, "the disk is full while writing " + str(studio_root)[:9])
    status, said = refuse(errno.ENOENT)
    assert status == 410, "the pages say nothing of 409: something newer was asked"
    assert "went away while it was read" in said


def test_a_killed_worker_costs_one_request(studio) -> None:
    import os
    import signal

    asked = {"params": {"at": "run/model"}}
    assert studio.get(f"{API}/model", **asked).status_code == 200
    worker = studio.guard.app.state.studio.worker
    for process in list(worker._pool._processes):
        os.kill(process, signal.SIGKILL)
    answer = studio.get(f"{API}/model", **asked)
    assert answer.status_code == 503
    assert "it is started again" in answer.json()["error"]["message"]
    assert studio.get(f"{API}/model", **asked).status_code == 200
    worker.deaths.clear()


def test_a_fault_is_a_sentence_too(studio_root) -> None:
    """A capture that lacks what it should have: said, and not as a blank page."""
    import json
    import shutil

    from starlette.testclient import TestClient

    from headstart.studio.app import create

    damaged = studio_root / "damaged"
    shutil.copytree(studio_root / "run", damaged)
    try:
        (damaged / "captures" / "step-000005" / "capture.json").write_text(json.dumps({"loss": 1}))
        guard = create([studio_root], 8125)
        headers = {"authorization": f"Bearer {guard.token}"}
        with TestClient(
            guard, base_url="http://127.0.0.1:8125", headers=headers, raise_server_exceptions=False
        ) as client:
            answer = client.get(f"{API}/capture", params={"at": "damaged", "step": 5})
        assert answer.status_code == 500
        assert "may be damaged" in answer.json()["error"]["message"]
    finally:
        shutil.rmtree(damaged)
