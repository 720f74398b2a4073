"""Charging a card or a billing key."""

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from pydantic import AliasChoices, Field

from chalicelib.api.schemas.fields import (
    Count,
    Flag,
    JsonText,
    Number,
    OptionalNumber,
    OptionalUid80,
    Quota,
    Text8,
    Text16,
    Text40,
    Text64,
    Text80,
    Text128,
    Uid40,
    Uid80,
    Urls,
    Wire,
)
from chalicelib.domain.charging import Buyer, Card, PaymentRequest
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.money import Money, parse_currency, parse_money
from chalicelib.usecases.choosing import Target

MIN_QUOTA_AMOUNT = 50_000
BAD_CARD = "유효하지않은 카드번호를 입력하셨습니다."


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


class OrderFields(Wire):
    """Fields of everything that is to be paid, in whatever way."""

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
    custom_data: JsonText = None
    notice_url: Urls = None
    product_type: Text16 = None
    product_count: Count = None

    def request(self, where: str = "") -> PaymentRequest:
        """where: prefix of field names in errors, e.g. `schedules[3].`."""
        currency = parse_currency(self.currency, f"{where}currency")
        amount = parse_money(self.amount, currency, f"{where}amount", minimum=1)
        tax_free, vat = self._taxes(amount, where)
        return PaymentRequest(
            merchant_uid=self.merchant_uid,
            amount=amount,
            name=self.name,
            tax_free=tax_free,
            vat=vat,
            buyer=self.buyer(),
            product_type=self.product_type,
            product_count=self.product_count or 1,
            custom_data=self.custom_data,
            notice_urls=tuple(self.notice_url or ()),
        )

    def buyer(self) -> Buyer:
        return Buyer(self.buyer_name, self.buyer_email, self.buyer_tel, self.buyer_addr, self.buyer_postcode)

    def _taxes(self, amount: Money, where: str) -> tuple[int, int | None]:
        tax_free = self._part(self.tax_free, amount, f"{where}tax_free") or 0
        vat = self._part(self.vat_amount, amount, f"{where}vat_amount")
        if tax_free + (vat or 0) > amount.amount:
            field = f"{where}vat_amount"
            raise InvalidRequest(
                field, f"{field}: 면세금액과 부가세의 합이 결제금액보다 큽니다. (more than the amount)"
            )
        return tax_free, vat

    @staticmethod
    def _part(value: Decimal | None, amount: Money, field: str) -> int | None:
        if value is None:
            return None
        part = parse_money(value, amount.currency, field)
        if part.amount > amount.amount:
            raise InvalidRequest(field, f"{field}: 결제금액보다 클 수 없습니다. (more than the amount)")
        return part.amount


class ChargeFields(OrderFields):
    """Fields that one-time charges, charges by key and schedule entries share."""

    card_quota: Quota = None
    interest_free_by_merchant: Flag = None
    use_card_point: Flag = None
    browser_ip: Text64 = None
    cash_receipt_type: Text16 = None
    promotion_id: Text80 = None
    bypass: JsonText = None

    def request(self, where: str = "", browser_ip: str | None = None) -> PaymentRequest:
        request = super().request(where)
        quota = 0 if self.card_quota in (None, 1) else self.card_quota or 0
        if quota and request.amount.currency == "KRW" and request.amount.amount < MIN_QUOTA_AMOUNT:
            field = f"{where}card_quota"
            raise InvalidRequest(
                field, f"{field}: 할부는 {MIN_QUOTA_AMOUNT:,}원부터 가능합니다. (instalments from 50,000 KRW)"
            )
        return replace(
            request,
            quota=quota,
            interest_free_by_merchant=bool(self.interest_free_by_merchant),
            use_card_point=bool(self.use_card_point),
            browser_ip=self.browser_ip or browser_ip,
            cash_receipt_type=self.cash_receipt_type,
            promotion_id=self.promotion_id,
            bypass=self.bypass,
        )


class Onetime(ChargeFields, TargetFields, CardFields):
    customer_uid: OptionalUid80 = Field(
        None,
        description="지정하면 결제된 뒤 이 이름으로 빌링키도 발급합니다. / A billing key is issued after the charge.",
    )


class Again(ChargeFields, TargetFields):
    customer_uid: Uid80 = Field(description="결제할 빌링키 / The billing key to charge")
