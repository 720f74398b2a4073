"""What a web page asks for with `IMP.request_pay`. Names and rules: V1's browser SDK."""

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Annotated

from pydantic import AliasChoices, Field

from chalicelib.api.schemas.charges import ChargeFields, TargetFields
from chalicelib.api.schemas.fields import Flag, Quota, Text8, Text20, Text40, Text80, Wire
from chalicelib.api.schemas.virtual_accounts import FURTHEST_DUE
from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.errors import InvalidRequest, NotSupported
from chalicelib.domain.windows import PayMethod, Way, WindowTerms
from chalicelib.usecases.windows import Wanted

SEOUL = timezone(timedelta(hours=9), "KST")
DUE_FORMATS = {10: "%Y-%m-%d", 8: "%Y%m%d", 19: "%Y-%m-%d %H:%M:%S", 14: "%Y%m%d%H%M%S"}
"""V1's four, told apart by their length. Without a time it is the end of that day in Seoul."""
LANGUAGES = ("ko", "en", "zh")


class Display(Wire):
    card_quota: Annotated[tuple[Annotated[int, Field(ge=0, le=36)], ...], Field(max_length=40)] | None = Field(
        None, description="고를 수 있는 할부 개월. []이면 일시불만 / Instalments to choose from, in months; [] = none"
    )


class DirectCard(Wire):
    code: Annotated[str, Field(pattern=r"^[0-9]{3}$")] | None = Field(
        None, description="카드사 코드, 3자리 / Card company's code, 3 digits"
    )
    quota: Quota = None


class CardOptions(Wire):
    direct: DirectCard | None = None


class WindowPayment(ChargeFields, TargetFields):
    """The page's parameters, and what the SDK adds: user_code, way, is_mobile."""

    user_code: Annotated[str, Field(pattern=r"^imp[0-9]{8}$", description="가맹점 식별코드 / IMP.init's code")]
    way: Way = Way.FRAME
    is_mobile: Flag = None
    pay_method: Text40 = None
    vbank_due: Text20 = Field(
        None,
        description="입금 기한: YYYY-MM-DD, YYYYMMDD (그날 끝까지), YYYY-MM-DD HH:mm:ss, YYYYMMDDHHmmss, 한국 시각 / "
        "Deposit due, Korean time; without a time the end of that day",
    )
    m_redirect_url: Annotated[str, Field(max_length=2000)] | None = None
    customer_id: Text40 = None
    customer_uid: Text80 = Field(None, description="결제창에서는 지원하지 않습니다. / Not supported in windows")
    tier_code: Text20 = Field(None, description="지원하지 않습니다. / Not supported")
    language: Text8 = None
    app_scheme: Annotated[str, Field(max_length=300)] | None = None
    confirm_url: Annotated[str, Field(max_length=2000)] | None = None
    digital: Flag = None
    escrow: Flag = Field(None, description="true는 지원하지 않습니다. / true is not supported")
    display: Display | None = None
    card: CardOptions | None = None
    use_free_interest: Flag = Field(None, validation_alias=AliasChoices("useFreeInterestFromMall", "use_free_interest"))

    def wanted(self, origin: str, browser_ip: str | None, now: datetime) -> Wanted:
        """origin: as the browser names it. Raises InvalidRequest, NotSupported."""
        self._refuse_what_nobody_does()
        method = self._method()
        return Wanted(self._request(browser_ip), self._terms(method, origin, now), self.target())

    def _refuse_what_nobody_does(self) -> None:
        if self.customer_uid:
            raise NotSupported(
                "customer_uid: 결제창 빌링키 발급은 지원하지 않습니다. "
                "POST /subscribe/customers/{customer_uid}로 발급해 주세요. (billing keys are issued by API)"
            )
        if self.tier_code:
            raise NotSupported("IMP.agency: 하위 상점을 지원하지 않습니다. (sub-merchants are not supported)")
        if self.escrow:
            raise NotSupported("escrow: 에스크로 결제를 지원하지 않습니다. (escrow is not supported)")

    def _method(self) -> PayMethod:
        try:
            return PayMethod(self.pay_method or "card")
        except ValueError:
            known = ", ".join(PayMethod)
            raise InvalidRequest(
                "pay_method", f"pay_method: 지원하지 않는 결제수단입니다. 사용 가능: {known} (not supported)"
            ) from None

    def _request(self, browser_ip: str | None) -> PaymentRequest:
        """PayPal has no KRW: for it V1's default currency is USD."""
        asked = self.model_copy(update={"currency": "USD"}) if self._is_paypal_default() else self
        direct = self.card.direct if self.card and self.card.direct else DirectCard()
        asked = asked.model_copy(update={"card_quota": direct.quota})
        request = ChargeFields.request(asked, browser_ip=browser_ip)
        return replace(
            request,
            browser_ip=browser_ip,  # not what the page says: anybody can change it there
            interest_free_by_merchant=request.interest_free_by_merchant or bool(self.use_free_interest),
        )

    def _is_paypal_default(self) -> bool:
        return self.pay_method == PayMethod.PAYPAL and not self.currency

    def _terms(self, method: PayMethod, origin: str, now: datetime) -> WindowTerms:
        direct = self.card.direct if self.card and self.card.direct else DirectCard()
        quotas = self.display.card_quota if self.display else None
        if self.way is Way.REDIRECT and not self.m_redirect_url:
            raise InvalidRequest("m_redirect_url", "m_redirect_url: 필수 값입니다. (required)")
        return WindowTerms(
            pay_method=method,
            way=self.way,
            page_origin=origin,
            secret_digest="",
            return_to=self.m_redirect_url or None,
            is_mobile=bool(self.is_mobile),
            language=self.language if self.language in LANGUAGES else "ko",
            account_due=self._account_due(now) if method is PayMethod.VBANK else None,
            quotas=None if quotas is None else tuple(sorted({months for months in quotas if months > 1})),
            card_code=direct.code,
            digital=self.digital,
            customer_id=self.customer_id,
            app_scheme=self.app_scheme or None,
            confirm_url=self.confirm_url or None,
        )

    def _account_due(self, now: datetime) -> datetime:
        text = (self.vbank_due or "").strip()
        if not text:
            raise InvalidRequest(
                "vbank_due", "vbank_due: 가상계좌 결제의 필수 값입니다. (required for pay_method vbank)"
            )
        due = _read_due(text)
        if due <= now:
            raise InvalidRequest("vbank_due", "vbank_due: 입금기한은 미래여야 합니다. (must be in the future)")
        if due.timestamp() > now.timestamp() + FURTHEST_DUE:
            raise InvalidRequest("vbank_due", "vbank_due: 너무 먼 미래입니다. (too far ahead)")
        return due


def _read_due(text: str) -> datetime:
    pattern = DUE_FORMATS.get(len(text), "")
    try:
        due = datetime.strptime(text, pattern).replace(tzinfo=SEOUL)
    except ValueError:
        due = None
    if due is None or not re.fullmatch(r"[0-9: -]+", text):
        raise InvalidRequest(
            "vbank_due",
            "vbank_due: YYYY-MM-DD, YYYYMMDD, YYYY-MM-DD HH:mm:ss, YYYYMMDDHHmmss 중 하나여야 합니다. (one of these)",
        )
    return due if "%H" in pattern else due.replace(hour=23, minute=59, second=59)
