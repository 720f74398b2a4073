"""Whatever bytes arrive: fields that can be stored and printed, or one clear refusal. Never another exception."""

import json
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.api.body import FORM_TYPE, JSON_TYPE, MAX_DEPTH, read_body
from chalicelib.domain.errors import InvalidRequest

content_types = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.builds(
        "{}{}{}".format,
        st.sampled_from([JSON_TYPE, FORM_TYPE, "text/plain", "APPLICATION/JSON", ""]),
        st.sampled_from(["", ";", "; charset=", ";charset=UTF-8", '; charset="utf8"', "; boundary=x; charset=euc-kr"]),
        st.text(max_size=5),
    ),
)
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
documents = st.recursive(leaves, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)))
pieces = st.sampled_from(["a", "b", "[", "]", "[]", "[0]", "[1]", "=", "&", ";", "%00", "%ED%A0%80", "%", "+", "가"])
bodies = st.one_of(
    st.binary(),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    documents.map(lambda value: json.dumps(value).encode()),
    documents.map(
        lambda value: b"\xef\xbb\xbf" + json.dumps({"a": value}, ensure_ascii=False).encode("utf-8", "replace")
    ),
    st.lists(pieces).map(lambda parts: "".join(parts).encode()),
    st.text("0123456789eE+-.", max_size=60).map(lambda number: f'{{"a": {number}}}'.encode()),
)


def depth(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, children), default=0)


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@settings(max_examples=300, deadline=None)
@given(raw=bodies, content_type=content_types)
@example(raw=b"[]=1&[][]=2&]=3", content_type=FORM_TYPE)
@example(raw=b'{"a": 1e99999999999999999999}', content_type=None)
@example(raw=b'{"a": -' + b"9" * 5000 + b"}", content_type=JSON_TYPE)
@example(raw=b'{"\\ud800": 1, "\\ud800": 2}', content_type=JSON_TYPE)
@example(raw=b"[" * 200_000, content_type=None)
@example(raw=b'{"a":' * 20_000, content_type=None)
@example(raw=b"a[0][1][2][3][4][5]=1", content_type=FORM_TYPE)
@example(raw=b"&".join(b"a[]=1" for _ in range(30_000)), content_type=FORM_TYPE)
def test_any_bytes_are_read_or_refused(raw, content_type):
    try:
        fields, refused = read_body(raw, content_type), None
    except InvalidRequest as error:
        fields, refused = {}, error
    assert refused is None or refused.message.startswith(f"{refused.field}: ")
    assert isinstance(fields, dict)
    assert depth(fields) <= MAX_DEPTH + 1
    for text in [*texts(fields), refused.message if refused else ""]:
        text.encode()
        assert "\x00" not in text


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
simple = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), plain),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(plain, inner, max_size=3)),
    max_leaves=8,
)


@given(fields=st.dictionaries(plain, simple), ascii_only=st.booleans(), content_type=st.sampled_from([JSON_TYPE, None]))
def test_json_arrives_as_it_was_sent(fields, ascii_only, content_type):
    assert read_body(json.dumps(fields, ensure_ascii=ascii_only).encode(), content_type) == fields


@given(number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4))
def test_no_digit_of_an_amount_is_lost(number):
    read = read_body(f'{{"amount": {number:f}}}'.encode(), JSON_TYPE)["amount"]
    assert Decimal(read) == number


@given(values=st.lists(plain, min_size=1, max_size=20), shuffle=st.randoms())
def test_a_forms_list_keeps_its_order_however_it_is_numbered(values, shuffle):
    from urllib.parse import urlencode

    unnumbered = urlencode([("a[]", value) for value in values])
    numbered = [(f"a[{n}]", value) for n, value in enumerate(values)]
    shuffle.shuffle(numbered)
    for form in (unnumbered, urlencode(numbered)):
        assert read_body(form.encode(), FORM_TYPE) == {"a": values}


def test_null_is_no_body():
    assert read_body(b"null", "application/json") == {}
