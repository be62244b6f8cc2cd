"""What a wheel brings compiled: the variant that this processor runs, computing what the model does."""

import os
import platform
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_models import DECODER, random_model, some_ids

from headstart.generation import cpu_library, cpu_variants
from headstart.generation.cpu_decoder import make_decoder
from headstart.generation.cpu_library import compiled
from headstart.generation.cpu_variants import (
    VARIANTS,
    Variant,
    compile_command,
    processor_flags,
    shipped_library,
)

HERE = [variant for variant in VARIANTS if variant.machine == platform.machine()]


@pytest.fixture(autouse=True)
def forgotten():
    """Which library was loaded."""
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def test_the_fastest_that_the_processor_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cpu_variants, "SHIPPED", tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert shipped_library() is None
    for variant in VARIANTS:
        (tmp_path / f"{variant.name}.so").touch()
    by_name = {variant.name: variant for variant in VARIANTS}
    for name, flags in {
        "x86-64-v4-bf16": by_name["x86-64-v4-bf16"].needs | {"more"},
        "x86-64-v4": by_name["x86-64-v4-bf16"].needs - {"avx512_bf16"},
        "x86-64-v3": by_name["x86-64-v4"].needs - {"avx512vl"},
        "x86-64": frozenset({"sse2"}),
    }.items():
        monkeypatch.setattr(cpu_variants, "processor_flags", lambda flags=flags: flags)
        assert shipped_library() == tmp_path / f"{name}.so"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert shipped_library() == tmp_path / "armv8-a.so"
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert shipped_library() is None


@pytest.mark.parametrize(
    "variant",
    [pytest.param(one, marks=[] if one is HERE[-1] else pytest.mark.slow) for one in HERE],
    ids=[one.name for one in HERE],
)
@torch.no_grad()
def test_every_variant_computes_what_the_model_does(variant: Variant, tmp_path: Path, monkeypatch) -> None:
    """The quick one is the last: plain vectors of any processor."""
    if not variant.needs <= processor_flags():
        pytest.skip("not for this processor")
    library = tmp_path / "library.so"
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    try:
        subprocess.run(compile_command(compiler, variant.options, library), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C++ compiler here")
    monkeypatch.setattr(cpu_library, "shipped_library", lambda: library)
    config = replace(
        DECODER, head_width=18, heads=2, kv_heads=1, initial_deviation=0.2, query_key_norm="head"
    )
    ids = some_ids(130)
    exact = random_model(config)
    expected = exact.logits(exact(torch.tensor([ids])))[0]
    for weights, dtype, within in [
        (torch.float32, torch.float32, 2e-5),
        (torch.bfloat16, torch.bfloat16, 0.03),
        (torch.int8, torch.float32, 0.05),
    ]:
        decoder = make_decoder(random_model(config, dtype), weights)
        assert decoder is not None
        every = [[True] * len(ids)]
        (logits,) = decoder.read_rows([decoder.cache()], [ids], every)
        assert (logits - expected).abs().max() <= within * expected.abs().max()
        caches = [decoder.cache(), decoder.cache()]
        first, second = decoder.read_rows(caches, [ids[:7], ids[:1]], [[True] * 7, [True]])
        assert torch.equal(first, logits[:7])
        assert torch.equal(second, logits[:1])
        assert decoder.kernel == (
            "bfloat16 pairs"
            if dtype == torch.bfloat16 and "bf16" in variant.name
            else str(weights).removeprefix("torch.")
        )
