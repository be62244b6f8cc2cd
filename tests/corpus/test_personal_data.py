"""Personal data: what is replaced, what stays, and the checksums."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.corpus.filters.personal_data import is_card, is_iban, luhn, replace_personal_data

ALL = ("email", "ip", "phone", "iban", "card")


def replaced(text: str) -> str:
    return replace_personal_data(text, ALL)[0]


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
    assert replace_personal_data(text, ("ip",)) == ("a@b.org and c@d.org from <IP>", {"ip": 1})
    assert replace_personal_data(text, ALL)[1] == {"email": 2, "ip": 1}


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


# Lines with what is personal between « and », of the kinds of public reports.
LABELLED = """
OpenSSL 1.1.1.12 fixes it, and so does 1.1.1.13.
[assembly: AssemblyVersion("2.3.1.0")] and AssemblyFileVersion("4.0.30319.42000")
Depends: libc6 (>= 2.3.6.1), python-3.9.1.0, foo==1.2.3.4
See §4.2.1.3, section 9.9.9.9 and Table 9.1.2.1; Abbildung 3.2.1.1 shows it.
Firmware 12.4.0.1 and Chrome 120.0.6099.71 were released.
The request came from «203.112.5.17» at noon.
«91.198.174.192» - - [10/Oct/2023:13:55:36] "GET / HTTP/1.0" 200
ping «8.8.8.8» or ask the resolver at «9.9.9.9»
Connect to http://«45.33.32.156»:8080/index or ssh root@«5.9.23.41»
ip=«81.2.69.142»; gateway 192.168.0.1 stays, 10.0.0.7 too
The server [«2001:4860:4860::8888»] answers, ::1 does not count.
Load icon@2x.png and bg@3x.webp, then out = a@b.shape, c = w@x.T
y = A@B.mean() is a product, and so is m@n.dot(v)
Write to «jane.doe+news@mail.example.org» or «info@firma.de».
Mail: «o'brien@example.co.uk», cc <«x_y@sub.example.museum»>
Follow @handle on the site, @2024.
Tel.-Nr.: «030 5550123». Phone number: «0161 496 0000».
Toll free «1-800-555-0199», fax «(212) 555‑0123», mobile «+44 20 7946 0018».
Ring «+49 30 5550123» or «+1 555‑555‑0123».
Telefonnummer: «040/123 45 67» und Hotline «0800 330 1000»
电话：«010-8888 7777»
Call us: «1 (415) 555-0132»
The ISBN is 978-3-16-148410-0, the order 20000000, the date 2024-05-01.
He counted 1 234 567 stars in 1998-2003 and 12 555 1234 of them twice.
IBAN «DE89 3704 0044 0532 0130 00» and not DE89 3704 0044 0532 0130 01
Firefox/121.0.1.1 on kernel 5.15.0.91, libfoo.so.1.2.3.4, cell.2020.01.001
git clone git@github.com:user/repo.git or ssh://git@gitlab.example.org/x
Tel. «030 / 12 34 56 78», Tél. : «01.23.45.67.89», Phone - «044 2345 6789»
Ph. «03 9123 4567», ĐT: «0912 345 678», Sími: «555 1234», telefoonnummer: «06 12345678»
電話番号 «03-1234-5678»、โทร. «02-123-4567», טלפון: «03-1234567», τηλ. «210 1234567», هاتف: «01 2345678»
IBAN «DE89-3704-0044-0532-0130-00»
GPS +48.856613, +2.352222 and 52.520008 13.404954 are places, +1.23456789 is a sum.
Registrant: «+1.2125550123», «+49.30901820»
Telemóvel: «912 345 678», моб. «8-903-123-45-67», факс: «(495) 123-45-67», нет. 12
ＴＥＬ：«０３－１２３４－５６７８», 携帯：«090-1234-5678», 手机：«13812345678»
传真：«010-12345678», 手机号码：«138 1234 5678»
휴대폰: «010-1234-5678», 연락처 «010-1234-5679», 팩스: «02-1234-5678», มือถือ «081-234-5678»
फ़ोन: «011-12345678», मोबाइल: «98765 43210», दूरभाष: «011-23456789», ফোন: «01712-345678»
جوال: «050 123 4567», موبايل: «0100 123 4567», נייד: «050-1234567», κινητό: «690 1234567»
GSM: «0475 12 34 56», SĐT: «0912 345 678», Telepon: «021-1234567», HP: «0812-3456-7890», GSM 900 1800 1900
ទូរស័ព្ទ: «012 345 678», ໂທ: «021 123456», ဖုန်း: «09 123456789», ስልክ: «011 123 4567», հեռ. «010 12 34 56»
Phone (office): «0161 496 0000», Phone/Fax: «0161 496 0001», Tel. & Fax «0161 496 0002»
Tel. kom. «600 123 456»
Card «4111 1111 1111 1111» and «5500-0000-0000-0004», not 4111 1111 1111 1112
"""
PERSONAL = re.compile("«(.*?)»")


def test_precision_and_recall_on_labelled_lines(capsys: pytest.CaptureFixture[str]) -> None:
    right = found = wanted = 0
    wrong = []
    for line in LABELLED.strip().split("\n"):
        labels = PERSONAL.findall(line)
        text = PERSONAL.sub(r"\1", line)
        replaced, counts = replace_personal_data(text, ["email", "ip", "phone", "iban", "card"])
        gone = [one for one in labels if one not in replaced]
        found += counts.total()
        wanted += len(labels)
        right += len(gone)
        if len(gone) != len(labels) or counts.total() != len(labels):
            wrong.append(f"{text} -> {replaced}")
    with capsys.disabled():
        print(f"personal data: precision {right / found:.3f}, recall {right / wanted:.3f} of {wanted}")
    assert right / found >= 0.96, wrong
    assert right / wanted >= 0.96, wrong


def test_signs_that_do_not_break_are_as_plain_ones_and_the_text_stays() -> None:
    text = "Fax (212) 555\u20110123,\u00a0und „Straße“\u2009–\u200912"
    assert replace_personal_data(text, ["phone"])[0] == "Fax <PHONE>,\u00a0und „Straße“\u2009–\u200912"
