import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webtext.pipeline.documents.decode import decode

FRENCH = "Déjà vu: l'été où la vieille ville naïve a changé, à côté de la forêt. "
RUSSIAN = "Это старый город у моря, и железная дорога изменила его жизнь. "
GREEK = "Η παλιά πόλη δίπλα στη θάλασσα άλλαξε όταν ήρθε ο σιδηρόδρομος. "
JAPANESE = "子供たちが庭で遊んでいる間に、古い町は鉄道によって変わりました。"
CHINESE = "这座古老的港口城市自从铁路修到山谷以来已经发生了很大的变化。"
TRADITIONAL = "這座古老的港口城市自從鐵路修到山谷以來已經發生了很大的變化。"
KOREAN = "철도가 계곡에 들어온 이후로 오래된 항구 도시는 많이 변했습니다. "
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy, když přijela železnice. "


def page(text, declared, real):
    meta = f'<meta charset="{declared}">' if declared else ""
    return f"<html><head>{meta}</head><body><p>{text * 20}</p></body></html>".encode(real)


@pytest.mark.parametrize(
    ("text", "declared", "real"),
    [
        (FRENCH, "utf-8", "utf-8"),
        (FRENCH, "utf-8", "latin-1"),
        (FRENCH, "iso-8859-1", "utf-8"),
        (FRENCH, "iso-8859-1", "latin-1"),
        (FRENCH, "", "latin-1"),
        (FRENCH, "no-such-charset", "latin-1"),
        (FRENCH + "“quoted” – €5 ", "iso-8859-1", "cp1252"),
        (RUSSIAN, "windows-1251", "cp1251"),
        (RUSSIAN, "", "cp1251"),
        (RUSSIAN, "iso-8859-1", "cp1251"),
        (RUSSIAN, "utf-8", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "", "koi8-r"),
        (GREEK, "iso-8859-7", "iso-8859-7"),
        (CZECH, "windows-1250", "cp1250"),
        (CZECH, "iso-8859-2", "iso-8859-2"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "", "cp932"),
        (JAPANESE, "euc-jp", "euc_jp"),
        (JAPANESE, "iso-8859-1", "euc_jp"),
        (JAPANESE, "iso-2022-jp", "iso2022_jp"),
        (CHINESE, "gb2312", "gbk"),
        (CHINESE, "", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (KOREAN, "euc-kr", "cp949"),
        (FRENCH, "", "utf-16"),
        (FRENCH, "utf-8", "utf-16-le"),
        (FRENCH, "", "utf-16-be"),
        (FRENCH, "", "utf-8-sig"),
    ],
)
def test_characters_survive_what_the_page_declares(text, declared, real):
    assert text * 20 in decode(page(text, declared, real))


def test_the_header_comes_before_the_markup():
    assert CZECH in decode(page(CZECH, "iso-8859-1", "cp1250"), "windows-1250")
    assert FRENCH in decode(page(FRENCH, "", "latin-1"), "ISO-8859-1")
    assert FRENCH in decode(page(FRENCH, "", "latin-1"), "utf-8")
    assert FRENCH in decode(page(FRENCH, "", "utf-8"), "latin1")


def test_a_cut_or_damaged_character_does_not_change_the_encoding():
    whole = page(FRENCH, "utf-8", "utf-8")
    cut = whole[: whole.rindex("ê".encode()) + 1]
    assert FRENCH * 19 in decode(cut)
    assert FRENCH * 19 in decode(whole.replace(FRENCH.encode() + b"</p>", FRENCH.encode() + b"\xff</p>"))


ABROAD = "Ångström Škoda Łódź Curaçao Führer’s crêpe “why” señorita £12 — Čapek Việt 東京 Москва ½ piñata 😀"
ENGLISH = "the river rose in the night and nobody in the town had seen it come"
STRAY = [
    b"\xff",  # no UTF-8 at all
    b"\x92",  # a curly apostrophe of windows-1252
    b"\xe9 ",  # a letter of it
    b"\xe2\x80",  # a cut dash
    b"\xc3",  # a cut letter
    b"\xed\xa0\xbd\xed\xb8\x80",  # a surrogate pair, as old Java wrote it
]


def with_stray_bytes(seed, declared):
    """(page in UTF-8 with 1 to 40 words outside ASCII and 1 to 3 faults, the words)."""
    rng = random.Random(seed)
    foreign = rng.choices(ABROAD.split(), k=rng.randint(1, 40))
    words = foreign + ENGLISH.split() * 20
    rng.shuffle(words)
    parts = [word.encode() for word in words]
    for _ in range(rng.randint(1, 3)):
        parts.insert(rng.randrange(len(parts)), rng.choice(STRAY))
    return f"<html><head>{declared}</head><body><p> ".encode() + b" ".join(parts) + b" </p></body></html>", set(foreign)


def wrong_of(count, declared, charset=None):
    """How many of so many pages lose a word."""
    pages = (with_stray_bytes(seed, declared) for seed in range(count))
    return sum(not foreign <= set(decode(payload, charset).split()) for payload, foreign in pages)


def test_stray_bytes_do_not_make_another_encoding_of_utf_8():
    assert wrong_of(3000, "<meta charset=utf-8>") == 0
    assert wrong_of(500, "", "utf-8") == 0


@pytest.mark.parametrize(
    ("declared", "most"), [("", 15), ("<meta charset=iso-8859-1>", 100), ("<meta charset=gb2312>", 60)]
)
def test_stray_bytes_where_nothing_or_something_else_is_declared(declared, most):
    # Where a few words stand against as many strays, nothing tells.
    assert wrong_of(1000, declared) <= most


def test_many_words_are_utf_8_whatever_is_declared():
    text = ABROAD
    for declared in ("", "iso-8859-1", "windows-1251", "gb2312", "shift_jis", "big5"):
        payload = page(text + " ", declared, "utf-8").replace(b"</p>", b"\x92\xff</p>")
        assert text in decode(payload)


def test_characters_that_were_lost_before_are_no_faults():
    lost = "a caf\ufffd and a na\ufffdve fianc\ufffde in Malmö "
    assert lost in decode(page(lost, "utf-8", "utf-8").replace(b"</p>", b"\xff</p>"))
    assert lost in decode(page(lost, "", "utf-8").replace(b"</p>", b"\xff</p>"))


WIDE = ["utf-16", "UTF-16LE", "utf-16be", "ucs-2", "unicode", "iso-10646-ucs-2", "csUnicode"]
UNKNOWN = ["utf-32", "ucs-4", "utf-7", "x-user-defined", "replacement", "hz-gb-2312", "iso-2022-kr", "iso-2022-cn"]
PRICES = "The entrée was £7 – “too much”, said Señor Núñez of the Café Zürich, and left for the old town. "


@pytest.mark.parametrize("real", ["cp1252", "utf-8"])
@pytest.mark.parametrize("label", WIDE + UNKNOWN)
def test_what_can_be_read_as_ascii_is_not_what_it_says(label, real):
    body = f"<body><p>{PRICES * 5}</p></body></html>"
    for head in (
        f"<html><head><meta charset='{label}'></head>",
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={label}"></head>',
        f'<?xml version="1.0" encoding="{label}"?><html>',
    ):
        assert PRICES * 5 in decode((head + body).encode(real))
        assert PRICES * 5 in decode((head + body).encode(real), label)
    assert PRICES * 5 in decode(body.encode(real), label)


def test_the_next_declaration_counts_where_the_first_is_not_true():
    for label in (*WIDE, "no-such-charset"):
        xml = f'<?xml version="1.0" encoding="{label}"?>'.encode()
        assert CZECH in decode(xml + page(CZECH, "windows-1250", "cp1250"))
        assert CZECH in decode(xml + page(CZECH, "windows-1250", "cp1250"), label)


@pytest.mark.parametrize("real", ["utf-16-le", "utf-16-be"])
def test_utf_16_by_the_header_has_few_nul_bytes_among_chinese(real):
    body = f"<p>{CHINESE * 30}</p>"
    assert CHINESE * 30 in decode(body.encode(real), "utf-16le" if real == "utf-16-le" else "utf-16be")


def test_utf_32_with_its_byte_order_mark():
    for real in ("utf-32-le", "utf-32-be"):
        assert FRENCH * 20 in decode(("\ufeff" + page(FRENCH, "utf-8", "utf-8").decode()).encode(real))


def test_a_declaration_in_a_long_head_is_found():
    assert CZECH in decode(b"<html><head><!--" + b"x" * 2000 + b"-->" + page(CZECH, "windows-1250", "cp1250"))


@given(
    st.binary(max_size=300), st.sampled_from([None, "", "utf-8", "gbk", "utf-7", "x-user-defined", "\udcff", "idna"])
)
def test_any_bytes_and_any_label_give_characters(payload, charset):
    decode(b"<meta charset=" + payload, charset).encode("utf-8")
    decode(payload, charset)
