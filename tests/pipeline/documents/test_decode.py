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


def test_a_declaration_in_a_long_head_is_found():
    assert CZECH in decode(b"<html><head><!--" + b"x" * 2000 + b"-->" + page(CZECH, "windows-1250", "cp1250"))


@given(
    st.binary(max_size=300), st.sampled_from([None, "", "utf-8", "gbk", "utf-7", "x-user-defined", "\udcff", "idna"])
)
def test_any_bytes_and_any_label_give_characters(payload, charset):
    decode(b"<meta charset=" + payload, charset).encode("utf-8")
    decode(payload, charset)
