"""What callers may send: one model per request, with V1's spellings, mapped by hand to the domain's values.

Unknown keys are ignored, since V1 clients send some. Both spellings of a name are accepted everywhere. Errors name
the field and never repeat the value: it may be a card number.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, Card, PaymentRequest, RefundAccount
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.money import Money, parse_currency, parse_money
from chalicelib.usecases.choosing import Target

M = TypeVar("M", bound=BaseModel)

MIN_QUOTA_AMOUNT = 50_000
BAD_CARD = "유효하지않은 카드번호를 입력하셨습니다."
MAX_EXPONENT = 30
"""Beyond it a Decimal overflows, or takes a gigabyte to write out."""
FURTHEST_SCHEDULE = 20 * 366 * 86400
"""Twenty years: catches milliseconds sent for seconds."""


class Wire(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True, populate_by_name=True
    )


def parse(model: type[M], fields: Mapping[str, Any]) -> M:
    """Raises InvalidRequest for the first field that does not fit."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = _field_name(first["loc"])
        raise InvalidRequest(name, f"{name}: {_explain(first)}") from None


def _field_name(loc: tuple[int | str, ...]) -> str:
    name = ""
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not part.startswith(("function-", "list[", "str", "dict[")):
            name += f".{part}" if name else part
    return name or "body"


def _explain(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "필수 값입니다. (required)"
        case "string_too_long":
            return f"{context['max_length']}자 이하여야 합니다. (at most {context['max_length']} characters)"
        case "string_too_short" | "too_short":
            return "비어 있을 수 없습니다. (must not be empty)"
        case "too_long":
            return f"{context['max_length']}개 이하여야 합니다. (at most {context['max_length']})"
        case "greater_than_equal":
            return f"{context['ge']} 이상이어야 합니다. (at least {context['ge']})"
        case "less_than_equal":
            return f"{context['le']} 이하여야 합니다. (at most {context['le']})"
        case "enum" | "literal_error":
            return f"다음 중 하나여야 합니다: {context['expected']} (one of these)"
        case "value_error":
            return str(context["error"])
        case _:
            return "올바르지 않은 값입니다. (malformed value)"


def _number(value: Any) -> Any:
    """A JSON number, a number in text (forms), or the object {"total": n} that the documents' samples send."""
    if isinstance(value, dict):
        value = value.get("total")
    if isinstance(value, bool) or value is None:
        raise ValueError("숫자여야 합니다. (must be a number)")
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        if not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT:
            raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)")
        return number
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,6})?", value.strip()):
        return Decimal(value.strip())
    raise ValueError("숫자여야 합니다. (must be a number)")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    return text


def _integer(value: Any) -> Any:
    number = _number(value)
    if number != number.to_integral_value() or abs(number) > 10**15:
        raise ValueError("정수여야 합니다. (must be a whole number)")
    return int(number)


def _optional_integer(value: Any) -> Any:
    return None if value in (None, "") else _integer(value)


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text_or_json(value: Any) -> Any:
    """custom_data and bypass: JSON text in the contract, objects in many clients."""
    if not isinstance(value, dict | list):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=float, allow_nan=False)
    except ValueError:
        raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)") from None


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False, "": None}.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


def _urls(value: Any) -> Any:
    """One URL, several in an array, or an array as JSON text."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("URL 또는 URL 배열이어야 합니다. (URL or array of URLs)") from None
    return [value] if isinstance(value, str) else value


Number = Annotated[Decimal, BeforeValidator(_number)]
OptionalNumber = Annotated[Decimal | None, BeforeValidator(lambda v: None if v in (None, "") else _number(v))]
Whole = Annotated[int, BeforeValidator(_integer)]
JsonText = Annotated[Annotated[str, Field(max_length=8192)] | None, BeforeValidator(_text_or_json)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Urls = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=2000)]], Field(max_length=5)] | None,
    BeforeValidator(lambda v: None if v in (None, "") else _urls(v)),
]
Quota = Annotated[Annotated[int, Field(ge=0, le=36)] | None, BeforeValidator(_optional_integer)]
Count = Annotated[Annotated[int, Field(ge=1, le=10**6)] | None, BeforeValidator(_optional_integer)]
Text8 = Annotated[Annotated[str, Field(max_length=8)] | None, BeforeValidator(_blank_is_none)]
Text16 = Annotated[Annotated[str, Field(max_length=16)] | None, BeforeValidator(_blank_is_none)]
Text20 = Annotated[Annotated[str, Field(max_length=20)] | None, BeforeValidator(_blank_is_none)]
Text40 = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_blank_is_none)]
Text64 = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_blank_is_none)]
Text80 = Annotated[Annotated[str, Field(max_length=80)] | None, BeforeValidator(_blank_is_none)]
Text128 = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_blank_is_none)]
Text200 = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_blank_is_none)]
Uid40 = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_not_blank)]
Uid80 = Annotated[str, Field(min_length=1, max_length=80)]


class GetToken(Wire):
    imp_key: str = ""
    imp_secret: str = ""


class TargetFields(Wire):
    channel_group_id: Text80 = Field(None, validation_alias=AliasChoices("channelGroupId", "channel_group_id"))
    channel_key: Text80 = Field(None, validation_alias=AliasChoices("channel_key", "channelKey"))
    pg: Text80 = None

    def target(self) -> Target:
        return Target(self.channel_group_id, self.channel_key, self.pg)


class CardFields(Wire):
    card_number: str | None = Field(None, max_length=40)
    expiry: str | None = Field(None, max_length=20)
    birth: str | None = Field(None, max_length=20)
    pwd_2digit: str | None = Field(None, max_length=10)
    cvc: str | None = Field(None, max_length=10)

    def card(self, prefix: str, now: datetime) -> Card:
        """Raises Refused (V1: HTTP 200, code -1) with `prefix`, the contract's text, before the field."""
        return Card(
            number=_card_number(self.card_number, prefix),
            **_expiry(self.expiry, prefix, now),
            birth=_digits(self.birth, "birth", (6, 10), prefix),
            password_2digits=_digits(self.pwd_2digit, "pwd_2digit", (2,), prefix),
            cvc=_digits(self.cvc, "cvc", (3, 4), prefix),
        )


def _bad_card(prefix: str, field: str, text: str) -> Refused:
    return Refused(f"{prefix} {field}: {text}", code=-1, field=field)


def _card_number(value: str | None, prefix: str) -> str:
    if not value:
        raise _bad_card(prefix, "card_number", "필수 값입니다. (required)")
    digits = re.sub(r"[ -]", "", value)
    if not re.fullmatch(r"[0-9]{14,16}", digits):
        raise _bad_card(prefix, "card_number", f"{BAD_CARD} (dddd-dddd-dddd-dddd)")
    return digits


def _expiry(value: str | None, prefix: str, now: datetime) -> dict[str, str]:
    match = re.fullmatch(r"(20[0-9]{2})-?(0[1-9]|1[0-2])", value or "")
    if not match:
        raise _bad_card(prefix, "expiry", "카드 유효기간은 YYYY-MM 형식이어야 합니다. (YYYY-MM)")
    year, month = match.groups()
    if (int(year), int(month)) < (now.year, now.month):
        raise _bad_card(prefix, "expiry", "유효기간이 지난 카드입니다. (expired)")
    return {"expiry_year": year, "expiry_month": month}


def _digits(value: str | None, field: str, lengths: tuple[int, ...], prefix: str) -> str | None:
    if not value:
        return None
    if len(value) not in lengths or not (value.isascii() and value.isdigit()):
        text = "/".join(str(n) for n in lengths)
        raise _bad_card(prefix, field, f"숫자 {text}자리여야 합니다. ({text} digits)")
    return value


class ChargeFields(Wire):
    """Fields that one-time charges, charges by key and schedule entries share."""

    merchant_uid: Uid40
    amount: Number
    currency: Text8 = None
    name: Text40 = None
    tax_free: OptionalNumber = None
    vat_amount: OptionalNumber = Field(None, validation_alias=AliasChoices("vat_amount", "vat"))
    buyer_name: Text16 = None
    buyer_email: Text64 = None
    buyer_tel: Text16 = None
    buyer_addr: Text128 = None
    buyer_postcode: Text8 = None
    card_quota: Quota = None
    interest_free_by_merchant: Flag = None
    use_card_point: Flag = None
    custom_data: JsonText = None
    notice_url: Urls = None
    browser_ip: Text64 = None
    product_type: Text16 = None
    product_count: Count = None
    cash_receipt_type: Text16 = None
    promotion_id: Text80 = None
    bypass: JsonText = None

    def request(self, where: str = "", browser_ip: str | None = None) -> PaymentRequest:
        """where: prefix of field names in errors, e.g. `schedules[3].`."""
        currency = parse_currency(self.currency, f"{where}currency")
        amount = parse_money(self.amount, currency, f"{where}amount", minimum=1)
        quota = 0 if self.card_quota in (None, 1) else self.card_quota or 0
        if quota and amount.currency == "KRW" and amount.amount < MIN_QUOTA_AMOUNT:
            field = f"{where}card_quota"
            raise InvalidRequest(
                field, f"{field}: 할부는 {MIN_QUOTA_AMOUNT:,}원부터 가능합니다. (instalments from 50,000 KRW)"
            )
        tax_free = self._part(self.tax_free, amount, f"{where}tax_free")
        vat = self._part(self.vat_amount, amount, f"{where}vat_amount")
        return PaymentRequest(
            merchant_uid=self.merchant_uid,
            amount=amount,
            name=self.name,
            tax_free=tax_free or 0,
            vat=vat,
            buyer=self.buyer(),
            quota=quota,
            interest_free_by_merchant=bool(self.interest_free_by_merchant),
            use_card_point=bool(self.use_card_point),
            product_type=self.product_type,
            product_count=self.product_count or 1,
            cash_receipt_type=self.cash_receipt_type,
            promotion_id=self.promotion_id,
            browser_ip=self.browser_ip or browser_ip,
            custom_data=self.custom_data,
            notice_urls=tuple(self.notice_url or ()),
            bypass=self.bypass,
        )

    def buyer(self) -> Buyer:
        return Buyer(self.buyer_name, self.buyer_email, self.buyer_tel, self.buyer_addr, self.buyer_postcode)

    @staticmethod
    def _part(value: Decimal | None, amount: Money, field: str) -> int | None:
        if value is None:
            return None
        part = parse_money(value, amount.currency, field)
        if part.amount > amount.amount:
            raise InvalidRequest(field, f"{field}: 결제금액보다 클 수 없습니다. (more than the amount)")
        return part.amount


class Onetime(ChargeFields, TargetFields, CardFields):
    customer_uid: Text80 = None


class Again(ChargeFields, TargetFields):
    customer_uid: Uid80


class IssueKey(TargetFields, CardFields):
    customer_id: Text80 = None
    customer_name: Text20 = None
    customer_tel: Text20 = None
    customer_email: Text200 = None
    customer_addr: Text200 = None
    customer_postcode: Text8 = None

    def customer(self) -> Buyer:
        return Buyer(
            self.customer_name, self.customer_email, self.customer_tel, self.customer_addr, self.customer_postcode
        )


class ScheduleEntry(ChargeFields):
    schedule_at: Whole

    def when(self, where: str, now: datetime) -> datetime:
        field = f"{where}schedule_at"
        at = self.schedule_at
        if at > now.timestamp() + FURTHEST_SCHEDULE:
            raise InvalidRequest(
                field, f"{field}: 초 단위 Unix 시각이어야 합니다 (밀리초가 아닙니다). (seconds, not milliseconds)"
            )
        if at <= now.timestamp():
            raise InvalidRequest(field, f"{field}: 예약 시각은 미래여야 합니다. (must be in the future)")
        return datetime.fromtimestamp(at, UTC)


class Schedule(IssueKey):
    customer_uid: Uid80
    checking_amount: OptionalNumber = None
    schedules: list[ScheduleEntry] = Field(min_length=1, max_length=1000)


def _uid_list(value: Any) -> Any:
    if value in (None, ""):
        return []
    return [value] if isinstance(value, str | int) else value


class Unschedule(Wire):
    customer_uid: Text80 = None
    merchant_uid: Annotated[list[Uid40], BeforeValidator(_uid_list), Field(max_length=1000)] = []


class CancelPayment(Wire):
    imp_uid: Text40 = None
    merchant_uid: Text40 = None
    amount: OptionalNumber = None
    checksum: OptionalNumber = None
    reason: Text200 = None
    tax_free: OptionalNumber = None
    vat_amount: OptionalNumber = None
    refund_holder: Text20 = None
    refund_bank: Text20 = None
    refund_account: Text40 = None
    refund_tel: Text20 = None
    enable_webhook: Flag = None

    def refund_to(self) -> RefundAccount | None:
        given = RefundAccount(self.refund_holder, self.refund_bank, self.refund_account, self.refund_tel)
        return None if given == RefundAccount() else given


class Strict(BaseModel):
    """Admin API: a mistyped key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _name(text: str) -> str:
    """Without spaces around it, composed, and with something to see in it."""
    name = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(char)[0] in "LNPS" for char in name):
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    return name


Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_name)]
Credentials = dict[str, Annotated[str, Field(max_length=8192)]]


class ChannelBody(Strict):
    name: Name
    pg_provider: Annotated[str, Field(min_length=1, max_length=16)]
    pg_id: Annotated[str, Field(min_length=1, max_length=80)]
    environment: Environment
    credentials: Credentials


class ChannelChangeBody(Strict):
    name: Name | None = None
    pg_id: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    credentials: Credentials | None = None


class EntryBody(Strict):
    channel_key: Annotated[str, Field(min_length=1, max_length=80)]
    weight: Annotated[int, Field(ge=0, le=100, strict=True)]
    enabled: Annotated[bool, Field(strict=True)] = True


class GroupBody(Strict):
    name: Name
    environment: Environment | None = None
    failover: Failover = Failover.UNSENT
    channels: list[EntryBody]
    begin_at: Annotated[int, Field(strict=True, ge=0, le=10**11)] | None = None

    def entries(self) -> tuple[GroupEntry, ...]:
        return tuple(GroupEntry(e.channel_key, e.weight, e.enabled) for e in self.channels)

    def begins(self) -> datetime | None:
        if self.begin_at is None:
            return None
        if self.begin_at > 4_102_444_800:
            raise InvalidRequest("begin_at", "begin_at: 초 단위 Unix 시각이어야 합니다. (unix seconds)")
        return datetime.fromtimestamp(self.begin_at, UTC)


class SettingsBody(Strict):
    default: Annotated[str, Field(max_length=80)] | None = None
    live_webhook_url: Annotated[str, Field(max_length=2000)] | None = None
    test_webhook_url: Annotated[str, Field(max_length=2000)] | None = None
    webhook_content_type: Annotated[str, Field(pattern=r"^application/(json|x-www-form-urlencoded)$")] = (
        "application/json"
    )
