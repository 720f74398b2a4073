"""An address that a browser brings is called only if it is one of the gateway's, letter for letter."""

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.gateways.endpoints import trusted
from chalicelib.gateways.html5_inicis import WINDOW_URLS, approve_urls

LIVE, TEST = Environment.LIVE, Environment.TEST
REAL = "https://fcstdpay.inicis.com/api/payAuth"

HOSTILE = [
    "http://fcstdpay.inicis.com/api/payAuth",
    "HTTPS://fcstdpay.inicis.com/api/payAuth",
    "//fcstdpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com:443/api/payAuth",
    "https://fcstdpay.inicis.com:8443/api/payAuth",
    "https://fcstdpay.inicis.com./api/payAuth",
    "https://fcstdpay.inicis.com@evil.example/api/payAuth",
    "https://evil.example@fcstdpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com:pw@evil.example/api/payAuth",
    "https://fcstdpay.inicis.com.evil.example/api/payAuth",
    "https://evil.fcstdpay.inicis.com/api/payAuth",
    "https://evilfcstdpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com\\@evil.example/api/payAuth",
    "https://evil.example/https://fcstdpay.inicis.com/api/payAuth",
    "https://evil.example#fcstdpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com/api/payAuth?to=evil.example",
    "https://fcstdpay.inicis.com/api/payAuth#x",
    "https://fcstdpay.inicis.com/api/payAuth/",
    "https://fcstdpay.inicis.com/api/../api/payAuth",
    "https://fcstdpay.inicis.com/api/netCancel",
    "https://fcstdpay.inicis.com/api/payauth",
    "https://fcstdpay。inicis.com/api/payAuth",
    "https://fcstdpay.ınicis.com/api/payAuth",
    "https://ｆcstdpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com/api/payAuth\n",
    " https://fcstdpay.inicis.com/api/payAuth",
    "https://fcstd\tpay.inicis.com/api/payAuth",
    "https://fcstdpay.inicis.com\0.evil.example/api/payAuth",
    "https://127.0.0.1/api/payAuth",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_nothing_but_the_address_itself(url):
    assert trusted(REAL, approve_urls(WINDOW_URLS[LIVE], "stdpay", "fc"))
    assert not trusted(url, approve_urls(WINDOW_URLS[LIVE], "stdpay", "fc"))


@pytest.mark.parametrize("url", [None, 7, [REAL], {"url": REAL}, REAL.encode()])
def test_what_is_no_text_is_no_address(url):
    assert not trusted(url, approve_urls(WINDOW_URLS[LIVE], "stdpay", "fc"))


def test_no_address_is_trusted_where_none_is_known():
    assert not trusted("", frozenset())
    assert not trusted(REAL, frozenset())


@pytest.mark.parametrize(
    ("environment", "window", "idc_name", "approve"),
    [
        (LIVE, "stdpay", "fc", REAL),
        (LIVE, "stdpay", "ks", "https://ksstdpay.inicis.com/api/payAuth"),
        (TEST, "stdpay", "stg", "https://stgstdpay.inicis.com/api/payAuth"),
        (LIVE, "mobile", "ks", "https://ksmobile.inicis.com/smart/payReq.ini"),
        (TEST, "mobile", "stg", "https://stgmobile.inicis.com/smart/payReq.ini"),
    ],
)
def test_each_window_of_inicis_has_one_address_per_data_centre(environment, window, idc_name, approve):
    assert approve_urls(WINDOW_URLS[environment], window, idc_name) == {approve}


@pytest.mark.parametrize(
    ("environment", "idc_name"),
    [
        (LIVE, "stg"),
        (TEST, "fc"),
        (TEST, "ks"),
        (LIVE, ""),
        (LIVE, "FC"),
        (LIVE, "evil.example/"),
        (LIVE, "fc\n"),
        (LIVE, ["fc"]),
        (LIVE, None),
    ],
)
def test_a_data_centre_that_is_none_or_of_the_other_environment_has_none(environment, idc_name):
    assert approve_urls(WINDOW_URLS[environment], "stdpay", idc_name) == frozenset()
