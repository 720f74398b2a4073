"""NICE's published vectors, and the signatures worked out from its stated formulas."""

import pytest

from chalicelib.domain.charging import Card
from chalicelib.gateways.nice_v2 import _card_text, _encrypt, digest, goods_name
from infra.sandbox.nice_v2 import _decrypt

SECRET_KEY = "2dcc2a0d63bf469490bb19a201be3735"
EDI_DATE = "2023-02-14T18:41:25.000+0900"
PLAIN = "cardNo=1234567890123456&expYear=25&expMonth=12&idNo=800101&cardPw=12"
AES_256 = (
    "6ecfe97e521bc67c3053d74a9dbdba53033d343fc9e8e38e730964b22ef2e4a59607171b00a9da977141b3f79fffa1e8"
    "0a16c08bc58666b479f554a966a363414347e62f2621f8df220c7a4a545592d0"
)
AES_128 = (
    "7c4b12eb43324290bd0e522900a892343f57e0d176cdadae757132c7f3cd442f023ef5c3ffa254ed04b6d47624d4c784"
    "7e8061f3be0d67adf1b463b46a542052cf47a5206bfd23945fc1851d426468f4"
)
FIELDS = {"cardNo": "1234567890123456", "expYear": "25", "expMonth": "12", "idNo": "800101", "cardPw": "12"}


def test_card_text_has_the_order_of_the_manual():
    assert _card_text(Card("1234567890123456", "2025", "12", "800101", "12")) == PLAIN


def test_published_aes_256_vector():
    assert _encrypt(PLAIN, SECRET_KEY) == AES_256


@pytest.mark.parametrize(("enc_data", "mode"), [(AES_256, "A2"), (AES_128, None)])
def test_the_simulator_opens_both_published_vectors(enc_data, mode):
    assert _decrypt(enc_data, mode, SECRET_KEY) == FIELDS


@pytest.mark.parametrize(
    ("parts", "signed"),
    [
        (["order-0001"], "8e31402d87cba7c52ef64f9ff4776ee3b07541688768fec3ba6f5fad6acd33ea"),
        (
            ["order-0001", "BIKYnictest00m1104191651325596"],
            "b441a4b583cfbd6392ac035df92f2482eafb954bd648fccda3e7ffa330ad57ae",
        ),
        (["nicuntct1m0101210727200125A056"], "cf803fc0c82cafc1ae0e5d5a23b7fa8f965b962d4481564d5ce1802e1fde31a1"),
    ],
    ids=["regist", "payment", "cancel"],
)
def test_signatures(parts, signed):
    assert digest(*parts, EDI_DATE, SECRET_KEY) == signed


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("월간 이용권", "월간 이용권"),
        ("가" * 14, "가" * 13),
        ("a" + "가" * 14, "a" + "가" * 13),
        ("x" * 41, "x" * 40),
        ("🎁" * 11, "🎁" * 10),
        ('50% "할인" & [특가] $9-a|b+c=d', "50 할인 특가 9 a b c d"),
        ("%%%", "상품"),
        ("", "상품"),
        (None, "상품"),
        ("\ud800가\0나\n", "가 나"),
    ],
)
def test_goods_name_is_forty_bytes_of_accepted_characters(name, sent):
    assert goods_name(name) == sent
    assert len(sent.encode()) <= 40
