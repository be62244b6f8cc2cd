"""Quantities as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.page.numbers import amount
from headstart.scaling.units import read_devices, read_duration, read_quantity


@pytest.mark.parametrize(
    ("text", "what", "value"),
    [
        ("1e21", "FLOPs", 1e21),
        ("3 ZFLOP", "FLOPs", 3e21),
        ("10 PF-days", "FLOPs", 8.64e20),
        ("15T", "tokens", 15e12),
        ("15T tokens", "tokens", 15e12),
        ("1,000,000", "tokens", 1e6),
        ("70B", "parameters", 70e9),
        ("80GB", "bytes", 80e9),
        ("80GiB", "bytes", 80 * 2**30),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("989 teraflops", "FLOP/s", 989e12),
        ("15 trillion tokens", "tokens", 15e12),
        ("7 billion", "parameters", 7e9),
        ("7bn", "parameters", 7e9),
        ("1 500 000", "tokens", 1.5e6),
        ("1\u202f500\u202f000", "tokens", 1.5e6),
        ("1'500'000", "tokens", 1.5e6),
        ("10_000", "tokens", 1e4),
        ("1.500B", "tokens", 1.5e9),
        ("24564 MiB", "bytes", 24_564 * 2**20),
        ("10 petaflop/s-days", "FLOPs", 8.64e20),
        ("0.5 EF-days", "FLOPs", 4.32e22),
        ("2.1 nats", "nats a token", 2.1),
    ],
)
def test_quantities(text: str, what: str, value: float) -> None:
    assert read_quantity(text, what) == pytest.approx(value)


@pytest.mark.parametrize("text", ["-3", "0", "abc", "7Q", "", "nan", "inf", "1e40", "70B70B", "12 bananas"])
def test_what_is_no_quantity_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(HeadstartError, match=r"no (possible )?number of tokens"):
        read_quantity(text, "tokens")


def test_a_figure_without_its_prefix_is_told_how_it_is_written() -> None:
    for text, what, example in (("312", "FLOP/s", "989T"), ("80", "bytes", "80GB")):
        with pytest.raises(HeadstartError, match=example):
            read_quantity(text, what)


@given(st.integers(1, 10**16))
def test_amounts_read_back(value: int) -> None:
    """What is printed with three digits is read as the same to three digits."""
    assert math.isclose(read_quantity(amount(value), "parameters"), value, rel_tol=5.1e-3)


@pytest.mark.parametrize(
    "text",
    ["1,5T", "1,50T", "1,5000", "12,34,567", "1,5.5T", ",5T", "1.500.000", "1 5T", "1 500,000", "1__0"],
)
def test_separators_part_thousands_alone(text: str) -> None:
    assert read_quantity("1,500T", "tokens") == 1.5e15
    assert read_quantity("1,234.5M", "tokens") == pytest.approx(1.2345e9)
    with pytest.raises(HeadstartError, match=text):
        read_quantity(text, "tokens")


@pytest.mark.parametrize("text", ["1.500", "1.5", "64.000 tokens", "0.5"])
def test_a_part_of_a_token_is_a_slip(text: str) -> None:
    """As where thousands are parted by full stops: 1.500 would be planned as one token and a half."""
    with pytest.raises(HeadstartError, match="are whole"):
        read_quantity(text, "tokens")


def test_durations() -> None:
    assert read_duration("30 days") == 30 * 86_400
    assert read_duration("1h 30min") == 5400
    assert read_duration("10min") == 600
    assert read_duration("1 day, 2 hours and 30 min") == 95_400
    for text in ("5", "x days", "-3 days", "", "3 fortnights", "6m"):
        with pytest.raises(HeadstartError, match=r"length of time|seconds"):
            read_duration(text)


def test_devices() -> None:
    assert read_devices("64xH100") == (64, "H100")
    assert read_devices("16,384 x H100") == (16_384, "H100")
    assert read_devices("A100") == (1, "A100")
    assert read_devices("H100:8") == read_devices("H100 x 8") == read_devices("8*H100") == (8, "H100")
    assert read_devices("RTX4090") == (1, "RTX4090")
    assert read_devices("MI300X") == (1, "MI300X")
    for text in ("", "64", "0xH100", "-2xH100", "2xH100:8"):
        with pytest.raises(HeadstartError):
            read_devices(text)
