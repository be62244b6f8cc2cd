"""The launch files of `recipes/launch`, as far as one machine can show them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import typer
import yaml

from headstart.cli import app
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

LAUNCH = Path(__file__).parents[2] / "recipes" / "launch"

# What the script uses of Slurm, on this machine: a task is started here, a node is this host.
SRUN = '#!/bin/sh\nexec "$@"\n'
SCONTROL = '#!/bin/sh\nif [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" > "$REQUEUED"; fi\n'


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    """An environment in which the script finds itself in a job of one node and two processes."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (
        ("srun", SRUN),
        ("scontrol", SCONTROL),
        ("python", f'#!/bin/sh\n{sys.executable} "$@"\n'),
    ):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    job = {"SLURM_JOB_ID": str(_free_port() - 20000), "SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1"}
    threads = {"OMP_NUM_THREADS": "1", "SLURM_GPUS_ON_NODE": "2", "REQUEUED": str(tmp_path / "requeued")}
    return os.environ | job | threads | {"PATH": path}


def _free_port() -> int:
    for port in Random().sample(range(20000, 30000), 100):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("no port is free")


@pytest.mark.slow
def test_a_slurm_job_that_runs_out_of_time_queues_itself_and_goes_on(slurm, tokens, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    settings = {
        "tokens": str(tokens), "context": 32, "rows": 8, "steps": 400, "sinks": [], "device": "cpu",
        "evaluate_every": 400, "evaluate_rows": 8, "checkpoint_every": 400,
        "model": {"family": "headstart-decoder", "layers": 2, "width": 32, "feedforward_width": 48},
        "objective": {"kind": "causal"}, "parallel": {"replicate": 2},
    }  # fmt: skip
    recipe.write_text(json.dumps(settings))
    run = tmp_path / "run"
    command = ["bash", LAUNCH / "slurm.sh", run, "--recipe", recipe]
    job = subprocess.Popen(command, env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 600
    while not (run / "metrics.jsonl").exists() or len(read_metrics(run)) < 8:
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.terminate()
    said = job.communicate(timeout=600)[0]
    reached = [event["step"] for event in read_metrics(run) if event["kind"] == "step"][-1]
    assert job.returncode != 0
    assert f"stopped after step {reached}: the control file asked for it; everything is saved" in said
    assert Path(slurm["REQUEUED"]).read_text().split() == ["requeue", slurm["SLURM_JOB_ID"]]
    assert reached < 400
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model in") == 1, "one process says how it ended"
    assert [event["step"] for event in read_metrics(run) if event["kind"] == "step"] == list(range(1, 401))


def test_the_kubernetes_job_starts_a_run_that_headstart_knows() -> None:
    service, job = yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    command = container["command"]
    assert service["metadata"]["name"] == pod["subdomain"] == "headstart"
    assert spec["completions"] == spec["parallelism"] == int(_option(command, "--nnodes"))
    assert container["resources"]["limits"]["nvidia.com/gpu"] == int(_option(command, "--nproc-per-node"))
    assert _option(command, "--rdzv-endpoint").startswith(f"{job['metadata']['name']}-0.{pod['subdomain']}:")
    assert _option(command, "--out") in container["lifecycle"]["preStop"]["exec"]["command"][2]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    assert command[-1].split("=")[0] in PretrainRecipe.model_fields


def test_the_kubernetes_deployment_starts_a_server_that_headstart_knows() -> None:
    service, deployment, scaler = yaml.safe_load_all((LAUNCH / "serve-kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, verb, *options = container["command"]
    assert program == "headstart"
    known = {one for parameter in typer.main.get_command(app).commands[verb].params for one in parameter.opts}
    assert {option.split("=")[0] for option in options} <= known
    assert float(_option(options, "--drain")) < pod["terminationGracePeriodSeconds"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")] == [
        "/ready",
        "/health",
    ]


def _option(command: list[str], name: str) -> str:
    return next(word.split("=", 1)[1] for word in command if word.startswith(f"{name}="))
