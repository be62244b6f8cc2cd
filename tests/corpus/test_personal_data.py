"""Personal data: what is replaced, what stays, and the checksums."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.corpus.filters.personal_data import is_card, is_iban, luhn, replace

ALL = ("email", "ip", "phone", "iban", "card")


def replaced(text: str) -> str:
    return replace(text, ALL)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to anna.o'neil+news@mail.example.co.uk.", "Write to <EMAIL>."),
        ("(müller@straße.de)", "(<EMAIL>)"),
        ("from 8.8.8.8, port 53", "from <IP>, port 53"),
        ("at 2a00:1450:4001:81b::200e.", "at <IP>."),
        ("call +49 (0)30 123456-78 now", "call <PHONE> now"),
        ("+4915123456789", "<PHONE>"),
        ("(212) 555-0123 or 212-555-0123", "<PHONE> or <PHONE>"),
        ("Tel.: 030/1234567, Fax 030 1234568", "Tel.: <PHONE>, Fax <PHONE>"),
        ("IBAN DE89 3704 0044 0532 0130 00 at our bank", "IBAN <IBAN> at our bank"),
        ("GB82WEST12345698765432,", "<IBAN>,"),
        ("DE89370400440532013000 BIC", "<IBAN> BIC"),
        ("card 4111 1111 1111 1111 is", "card <CARD> is"),
        ("378282246310005 and 3782-822463-10005", "<CARD> and <CARD>"),
    ],
)
def test_personal_data_becomes_a_placeholder(text: str, expected: str) -> None:
    assert replaced(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 and v10.0.19041.1, firmware: 8.8.4.4",
        "10.0.0.1, 192.168.1.1, 127.0.0.1, 203.0.113.7, 1.2.3.4.5, 256.1.1.1",
        "fe80::1, ::1, 2001:db8::1, 12:30:45, a::b, std::string, 00:1a:2b:3c:4d:5e",
        "2020-01-02, 02.03.2021, 12/31/1999, 1990-2000",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, 9783161484100",
        "DE89 3704 0044 0532 0130 01 and AB12 3456 7890 1234 5678",
        "4111 1111 1111 1112, 4111-1111 11111111, 1234567812345670",
        "between 100 000 000 and 2 500 000 000, +20000000, 3.14159265358979",
        "@name, a@b, user@localhost, 5 @ 3.50",
        "order 555-0123-44556677, 2012 555 0123 was, page 212, 555-0199",
        "the years 2001 2002 2003 2004 and 1 2 3 4 5 6 7 8 9 10",
        "doi:10.1000/182, arXiv 2406.17557v2, 0.1.2.3",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert replaced(text) == text


def test_only_what_is_wanted_is_replaced_and_counted() -> None:
    text = "a@b.org and c@d.org from 8.8.8.8"
    assert replace(text, ("ip",)) == ("a@b.org and c@d.org from <IP>", {"ip": 1})
    assert replace(text, ALL)[1] == {"email": 2, "ip": 1}


@given(st.integers(0, 10**15 - 1))
def test_one_check_digit_of_ten_is_right_and_every_wrong_digit_is_seen(number: int) -> None:
    body = f"{number:015d}"
    right = [digit for digit in "0123456789" if luhn(body + digit)]
    assert len(right) == 1
    whole = body + right[0]
    for place in range(16):
        other = str((int(whole[place]) + 1) % 10)
        assert not luhn(whole[:place] + other + whole[place + 1 :])


@given(st.integers(0, 10**18 - 1), st.randoms(use_true_random=False))
def test_iban_check_digits_see_a_wrong_and_two_swapped_characters(number: int, rng: random.Random) -> None:
    account = f"{number:018d}"
    (whole,) = [f"DE{check:02d}{account}" for check in range(2, 99) if is_iban(f"DE{check:02d}{account}")]
    place = rng.randrange(4, 22)
    wrong = whole[:place] + str((int(whole[place]) + rng.randrange(1, 10)) % 10) + whole[place + 1 :]
    assert not is_iban(wrong)
    place = rng.randrange(4, 21)
    if whole[place] != whole[place + 1]:
        assert not is_iban(whole[:place] + whole[place + 1] + whole[place] + whole[place + 2 :])
    assert replaced(f"to {whole} today") == "to <IBAN> today"


def test_cards_have_an_issuer() -> None:
    assert is_card("5555555555554444")
    assert is_card("2223003122003222")
    assert not is_card("9999999999999995")
    assert luhn("9999999999999995")


@given(st.text(alphabet="0123456789 .:-+()@aDE/", max_size=80))
def test_any_text_is_fine_and_a_second_time_changes_nothing(text: str) -> None:
    once = replaced(text)
    assert replaced(once) == once


@pytest.mark.parametrize("gap", range(1, 45))
def test_phone_numbers_are_found_wherever_they_stand(gap: int) -> None:
    between = ("some more words " * 3)[:gap].strip() + " "
    text = f"Hotel 030 1234567, {between}telephone: (030 1234567 {between}+49 30 123456 {between}12:30"
    expected = f"Hotel 030 1234567, {between}telephone: <PHONE> {between}<PHONE> {between}12:30"
    assert replaced(text) == expected
