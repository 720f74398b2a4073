"""Every route, described: what it does, what it takes, what it answers, and which refusals a client must expect.

A table, so that the description stands beside no code and costs none: it is loaded when the reference is first asked
for. Texts are "한국어 / English". tests/unit/test_openapi.py holds it to the routes, to the models that the views
parse, and to the messages that the code really has.
"""

# ruff: noqa: E501 - a table of prose; Korean letters count twice

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from chalicelib.api import schemas, shapes, unsupported
from chalicelib.api.endpoints import BROKEN, BUSY, OVERTAKEN


class Tag(NamedTuple):
    name: str
    text: str


TOKEN = Tag("token", "액세스 토큰 / Access token")
PAYMENTS = Tag("payments", "결제 조회와 취소 / Payments: look up, cancel")
PREPARE = Tag("prepare", "결제금액 사전등록 / Amounts registered beforehand")
KEYS = Tag("keys", "빌링키 / Billing keys")
CHARGES = Tag("charges", "카드 결제 / Card charges")
WINDOW = Tag("window", "결제창 / Payment window")
SCHEDULES = Tag("schedules", "예약 결제 / Reserved payments")
VBANKS = Tag("vbanks", "가상계좌 / Virtual accounts")
RECEIPTS = Tag("receipts", "현금영수증 / Cash receipts")
CODES = Tag("codes", "코드와 채널 / Codes and channels")
WEBHOOKS = Tag("webhooks", "웹훅: 상점이 받는 요청 / Webhooks: what you are sent")
REFERENCE = Tag("reference", "이 문서 / This reference")
ADMIN = Tag("admin", "관리 API / Admin API")
NOT_OFFERED = Tag("not-offered", "제공하지 않는 기능 / Not offered")
TAGS = (
    TOKEN, WINDOW, CHARGES, KEYS, SCHEDULES, PAYMENTS, VBANKS, RECEIPTS, PREPARE, CODES, WEBHOOKS, ADMIN, REFERENCE,
    NOT_OFFERED,
)  # fmt: skip
"""In the order of the page."""


class Refusal(NamedTuple):
    """code: V1's number, or the admin API's word. message: as the code has it; {name} stands for what it fills in."""

    status: int
    code: int | str
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """answer: type of V1's `response`, or of the whole body where `envelope` is False. None: it only refuses.

    example, shown: of the body; and of what in the answer differs from the fields' own examples.
    demanded: fields that a rule asks for and the model does not, so that V1's own message is the answer.
    security: an access token, `open` = V1's without one, the admin token, `none` = not V1's.
    extra: keys beside V1's envelope. problem: the refusal's shape. also: further statuses with an answer of this kind.
    text_type: the media type of a bare text, which some get instead.
    """

    method: str
    path: str
    tag: Tag
    text: str
    answer: Any = None
    about: str = ""
    body: type[BaseModel] | None = None
    example: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    demanded: Sequence[str] = ()
    query: type[BaseModel] | None = None
    refusals: Sequence[Refusal] = ()
    status: int = 200
    also: Sequence[int] = ()
    extra: type[BaseModel] | None = None
    problem: type[BaseModel] = shapes.Problem
    security: Literal["token", "open", "admin", "none"] = "token"
    envelope: bool = True
    media_type: str = "application/json"
    text_type: str = ""

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"


def _admin(method: str, path: str, text: str, answer: Any, *more: Refusal, **other: Any) -> Operation:
    return Operation(
        method, path, ADMIN, text, answer, refusals=more, problem=shapes.AdminProblem, security="admin", envelope=False,
        **other,
    )  # fmt: skip


UNKNOWN_PAYMENT = Refusal(404, "not_found", "존재하지 않는 결제정보입니다.")
AT_WORK = Refusal(409, "refused", "아직 처리 중입니다. 잠시 후 다시 시도해 주세요. (still being worked on)")
SETTLED = Refusal(409, "refused", "결과가 이미 확정되었습니다. (already settled)")
MAY_STILL_COME = Refusal(
    409, "refused", "outcome: 아직 처리될 수 있습니다. 잠시 후 다시 시도해 주세요. (it may still come)"
)


def _page(
    method: str, path: str, text: str, *, status: int = 200, also: Sequence[int] = (303,), about: str = ""
) -> Operation:
    """A page of a payment window. What goes wrong is a page, too."""
    return Operation(
        method, f"/window/{{ticket}}{path}", WINDOW, text, str, about=about, status=status, also=[*also, 404, 500, 503],
        security="none", envelope=False, media_type="text/html",
    )  # fmt: skip


def _file(path: str, media_type: str, text: str, **other: Any) -> Operation:
    return Operation(
        "GET", path, WINDOW, text, str, security="none", envelope=False, media_type=media_type, **other
    )  # fmt: skip


def _not_offered() -> list[Operation]:
    return [
        Operation(
            method, path, NOT_OFFERED, feature.replace(" (", " / ").removesuffix(")"),
            refusals=[Refusal(501, -1, f"{feature}: 지원하지 않는 기능입니다. (not supported)")],
        )
        for feature, routes in unsupported.NOT_OFFERED.items()
        for method, path in map(str.split, routes)
    ]  # fmt: skip


ABOUT = (
    "모든 V1 응답은 {code, message, response}입니다. HTTP 200은 성공을 뜻하지 않습니다. code가 0인지, 결제라면 "
    "status가 paid인지 확인하세요. 액세스 토큰은 Authorization 헤더에 그대로 또는 Bearer로 보냅니다. 금액은 원, 달러 단위, 시각은 Unix 초이며 아직 일어나지 않은 시각은 0입니다. "
    "본문은 JSON이나 폼(UTF-8, 256KB 이하)이고, 폼에서는 숫자를 문자열로, 중첩된 값을 a[b]와 a[0][b]로 보냅니다. "
    "모르는 이름은 무시합니다(관리 API는 거절합니다). 읽기 제한 시간은 30초 이상으로 두세요. / "
    "Every V1 answer is {code, message, response}. HTTP 200 does not mean success: see that code is 0 and, for a "
    "payment, that status is paid. Send the access token in the Authorization header, bare or as Bearer. Amounts are in major units of the currency; times are unix seconds, 0 for what has "
    "not happened. Bodies are JSON or forms (UTF-8, up to 256 KB); forms send numbers as text and nested values as "
    "a[b] and a[0][b]. Unknown names are ignored (the admin API refuses them). Give clients a read time-out of 30 "
    "seconds or more."
)

MEANINGS: Mapping[int, str] = {
    200: "처리되었습니다. V1에서 code가 0이 아니면 거절입니다. / Done; with V1 a code other than 0 is a refusal.",
    201: "만들어졌습니다. / Created.",
    204: "본문이 없습니다. / No body.",
    207: "일부는 찾지 못했습니다. / Some of them were not found.",
    303: "다른 페이지로 보냅니다. / Sends the browser to another page.",
    400: "잘못된 값. field가 알려줍니다. / A wrong value; field names it.",
    401: "토큰이 없거나 유효하지 않습니다. / No valid token.",
    404: "없습니다. / Not found.",
    405: "이 결제에는 해당하지 않습니다. / Does not apply to this payment.",
    409: "규칙에 어긋나거나 다른 변경이 먼저 저장되었습니다. / A rule forbids it, or another change came first.",
    500: "서버 오류. / Internal error.",
    501: "제공하지 않는 기능입니다. / Not offered.",
    503: "일시적인 오류. 조회한 뒤 다시 시도하세요. / Temporary: look up, then try again.",
}

TIER = "Tier: 하위 상점을 지원하지 않습니다. 해당 상점의 API 키로 요청해 주세요. (sub-merchants are not supported)"
_V1 = (Refusal(500, -1, BROKEN), Refusal(501, -1, TIER), Refusal(503, -1, BUSY))
COMMON: Mapping[str, tuple[Refusal, ...]] = {
    "token": (
        Refusal(400, -1, "merchant_uid: 필수 값입니다. (required)"),
        Refusal(401, -1, "유효하지 않거나 만료된 access_token입니다. (invalid or expired access token)"),
        *_V1,
    ),
    "open": _V1,
    "admin": (
        Refusal(400, "invalid_request", "name: 필수 값입니다. (required)"),
        Refusal(401, "unauthorized", "유효하지 않은 관리자 토큰입니다. (invalid admin token)"),
        Refusal(404, "not_found", "존재하지 않는 채널입니다: {channel_key} (unknown channel)"),
        Refusal(409, "conflict", OVERTAKEN),
        Refusal(500, "internal_error", BROKEN),
        Refusal(503, "unavailable", BUSY),
    ),
    "none": (),
}
"""What any call of a kind may meet, whatever it does; one per status."""


class ShownEnvironments(BaseModel):
    include_sandbox: bool = True


class FindQuery(ShownEnvironments):
    sorting: Literal["-started", "started", "-paid", "paid", "-updated", "updated"] = "-started"


class FindAll(schemas.FindAllQuery, ShownEnvironments):
    """What the view reads of the query on top of its model."""


class WebhookHeaders(BaseModel):
    webhook_id: str = Field(alias="webhook-id")
    webhook_timestamp: str = Field(alias="webhook-timestamp")
    webhook_signature: str = Field(alias="webhook-signature")


class Language(BaseModel):
    lang: Literal["ko", "en"] = "ko"


NO_CARD = dict.fromkeys(
    ("card_name", "card_code", "card_issuer_code", "card_issuer_name", "card_publisher_code", "card_publisher_name",
     "card_number", "card_type", "apply_num", "receipt_url")
)  # fmt: skip
WAITING = {
    **NO_CARD, "pay_method": "vbank", "status": "ready", "paid_at": 0, "vbank_code": "004", "vbank_name": "국민은행",
    "vbank_num": "65649012345678", "vbank_date": 1798988400, "vbank_issued_at": 1798729201,
}  # fmt: skip
REVOKED = {**WAITING, "status": "cancelled", "cancelled_at": 1798815600}
NO_PAYMENT = Refusal(404, 1, "존재하지 않는 결제정보입니다.")
NO_BALANCE = Refusal(
    405, -1, "결제수단별 금액 상세는 PAYCO와 KCP 결제에서만 조회할 수 있습니다. (only for payments by PAYCO and KCP)"
)
BAD_STATUS = Refusal(400, -1, "지원되지 않는 상태값입니다.")
BAD_PAGE = Refusal(400, -1, "page: 데이터 범위를 넘어선 페이지입니다 ({total}건). (beyond the data)")
NO_KEY = Refusal(200, 1, "요청하신 customer_uid({customer_uid})로 등록된 정보를 찾을 수 없습니다.")
NO_KEYS = Refusal(404, 1, NO_KEY.message)
KEY_BUSY = Refusal(
    200, 1, "같은 customer_uid의 다른 요청이 처리 중입니다. 다시 시도해 주세요. (another request is under way)"
)
NO_SCHEDULE = Refusal(404, 1, "예약결제 정보가 존재하지 않습니다. (no such schedule)")
ORDER_TAKEN = Refusal(200, 1, "이미 진행 중이거나 승인된 주문번호입니다: {merchant_uid} (merchant_uid is in use)")
ORDER_RESERVED = Refusal(200, 1, "이미 결제가 예약된 주문번호입니다: {merchant_uid} (merchant_uid is reserved)")
ORDER_BUSY = Refusal(200, 1, "같은 주문번호의 다른 요청이 처리 중입니다. (another request is under way)")
SCHEDULE_BUSY = Refusal(
    200, 1, "이 예약의 다른 요청이 처리 중입니다. 다시 시도해 주세요. (another request is under way)"
)
NOT_RETRIABLE = (
    Refusal(400, -1, "merchant_uid: 아직 실행되지 않은 예약입니다. (not yet run)"),
    Refusal(400, -1, "merchant_uid: 실행 중이거나 이미 승인된 예약입니다. (running or approved)"),
)
GATEWAY_REFUSED = Refusal(200, -1, "[{code}] {message}")
NOT_PAID = Refusal(400, -1, "imp_uid: 결제완료(paid)된 건만 현금영수증을 발급할 수 있습니다. (not paid)")
NOT_CASH = Refusal(
    400, -1, "imp_uid: 가상계좌, 계좌이체 결제만 현금영수증을 발급할 수 있습니다. (not paid in cash)"
)  # fmt: skip
RECEIPT_UNCLEAR = Refusal(
    200, -1, "현금영수증 발급 결과를 확인하고 있습니다. 같은 값으로 다시 요청해 주세요. 두 번 발급되지 않습니다. "
    "(the issue is being confirmed: repeat it, nothing is issued twice)",
)  # fmt: skip
RECEIPT_CANCEL_UNCLEAR = Refusal(
    200, -1, "현금영수증 취소 결과를 확인하고 있습니다. 취소를 다시 요청해 주세요. "
    "(the cancel is being confirmed: repeat it)",
)  # fmt: skip
RECEIPT_GONE = Refusal(
    200, -1, "앞서 요청한 현금영수증은 발급되지 않았습니다. 필요하면 다시 요청해 주세요. "
    "(what was asked for earlier was not issued: repeat it)",
)  # fmt: skip
RECEIPT_BUSY = Refusal(
    200, 1, "같은 건의 다른 현금영수증 요청이 처리 중입니다. 잠시 후 다시 시도해 주세요. (another request is under way)"
)  # fmt: skip
NO_RECEIPTS_HERE = Refusal(501, -1, "{label}은(는) 현금영수증 API를 지원하지 않습니다. (no cash receipts by API)")
BAD_BANK = Refusal(
    400, -1, "vbank_code: 은행 코드 3자리여야 합니다. GET /banks를 참고해 주세요. (unknown bank code)"
)  # fmt: skip
NOT_VBANK = Refusal(400, -1, "imp_uid: 가상계좌 결제가 아닙니다. (not a virtual account)")
NOT_WAITING = Refusal(
    400, -1, "imp_uid: 입금대기 상태의 가상계좌가 아닙니다. (the account is not waiting for a deposit)"
)  # fmt: skip
REVOKE_UNCLEAR = Refusal(
    200, 1, "가상계좌 말소 결과를 확인하고 있습니다. 잠시 후 조회해 주세요. (the revoke is being confirmed)"
)  # fmt: skip
NO_EXTERNAL_RECEIPT = Refusal(
    404, -1, "{merchant_uid}: 현금영수증이 발급된 내역이 없습니다. (no cash receipt was issued)"
)  # fmt: skip
CHECK_UNCLEAR = Refusal(
    200, 1, "카드 확인 결과를 알 수 없어 예약하지 않았습니다. 승인되었다면 자동으로 취소됩니다. "
    "(the check is being confirmed; nothing was booked)",
)  # fmt: skip
NO_CHANNEL = Refusal(200, 1, "결제 가능한 채널이 없습니다. (no channel can take this payment)")
NO_TARGET = Refusal(
    200, 1, "결제에 사용할 채널 그룹이나 채널을 지정해 주세요: channelGroupId, channel_key (no channel or group named)"
)
BAD_CARD = Refusal(200, -1, "카드정보 인증에 실패하였습니다.")
ISSUE_FAILED = Refusal(200, -1, "카드정보 인증 및 빌키 발급에 실패하였습니다.")

NO_WINDOW = (
    Refusal(400, -1, "ticket: {length}자 이하여야 합니다. (at most {length} characters)"),
    Refusal(404, 1, "존재하지 않는 결제창입니다. (no such window)"),
)

CHARGE_REFUSALS = (BAD_CARD, ORDER_TAKEN, ORDER_RESERVED, ORDER_BUSY, NO_CHANNEL, NO_TARGET)

READ_STATUS = (
    "code가 0이어도 status를 확인하세요: paid는 승인, failed는 거절(fail_reason), ready는 결과 확인 중이며 다시 결제하면 "
    "안 됩니다. / With code 0, read status too: paid, failed (see fail_reason), or ready: the outcome is being confirmed, "
    "do not charge again."
)

CARD_FIELDS = ("card_number", "expiry")
CARD = {"card_number": "4242-4242-4242-4242", "expiry": "2030-12", "birth": "880101", "pwd_2digit": "12"}
ORDER = {"merchant_uid": "order-20270101-001", "amount": 8900, "name": "월간 이용권"}
GROUP_ID = "channel-group-test-0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
CHANNEL_KEY = "channel-key-5a2b7f6c-3d1e-4c8f-9b0a-1f2e3d4c5b6a"
GROUP_BODY = {
    "name": "정기결제",
    "environment": "test",
    "channels": [{"channel_key": CHANNEL_KEY, "weight": 100, "enabled": True}],
}

WEBHOOK = Operation(
    "POST", "notice_url", WEBHOOKS, "결제 상태가 바뀌면 알려드립니다. / Tells of a payment's new state.",
    about="설정한 형식(JSON 또는 폼)으로, 2xx를 받을 때까지 하루 동안 다시 보냅니다. 본문을 믿지 말고 서명(Standard Webhooks)을 "
    "확인한 뒤 결제를 조회하세요. / In the form of the settings (JSON or form), repeated for a day until the answer is 2xx. "
    "Do not trust the body: check the signature (Standard Webhooks), then look the payment up.",
    body=shapes.Webhook,
    example={"imp_uid": "imp_448280090638", "merchant_uid": "order-20270101-001", "status": "paid"},
    query=WebhookHeaders,
    security="none",
)  # fmt: skip
"""The other way round: we call, you answer."""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/users/getToken", TOKEN, "액세스 토큰을 받습니다. / Get an access token.", shapes.Token,
        about="30분 동안 유효하고, 그동안 다시 요청하면 같은 토큰입니다. / Valid for 30 minutes; asked again, the same one.",
        body=schemas.GetToken, demanded=("imp_key", "imp_secret"), example={"imp_key": "1234567890123456", "imp_secret": "0123456789abcdef"},
        security="open",
        refusals=[
            Refusal(400, -1, "imp_key, imp_secret 파라메터가 누락되었습니다."),
            Refusal(
                401, -1,
                "imp_key, imp_secret 인증에 실패하였습니다. API키와 secret을 확인하세요. (wrong imp_key or imp_secret)",
            ),
        ],
    ),
    # --- payments ---
    Operation(
        "GET", "/payments/{imp_uid}", PAYMENTS, "결제 한 건을 조회합니다. / Look up one payment.", shapes.Payment,
        query=ShownEnvironments, refusals=[NO_PAYMENT],
    ),
    Operation(
        "GET", "/payments/find/{merchant_uid}", PAYMENTS,
        "주문번호의 최근 결제를 조회합니다. / Look up the newest payment of an order.", shapes.Payment,
        query=FindQuery, refusals=[NO_PAYMENT],
    ),
    Operation(
        "GET", "/payments/find/{merchant_uid}/{payment_status}", PAYMENTS,
        "주문번호의 결제를 상태로 조회합니다. / Look up an order's newest payment in a state.", shapes.Payment,
        query=FindQuery, refusals=[NO_PAYMENT, BAD_STATUS],
    ),
    Operation(
        "GET", "/payments/findAll/{merchant_uid}", PAYMENTS,
        "주문번호의 결제를 모두 조회합니다. / All payments of an order.", shapes.PaymentPage,
        query=FindAll, refusals=[NO_PAYMENT, BAD_PAGE],
    ),
    Operation(
        "GET", "/payments/findAll/{merchant_uid}/{payment_status}", PAYMENTS,
        "주문번호의 결제를 상태로 모두 조회합니다. / All payments of an order in a state.", shapes.PaymentPage,
        query=FindAll, refusals=[NO_PAYMENT, BAD_STATUS, BAD_PAGE],
    ),
    Operation(
        "GET", "/payments/status/{payment_status}", PAYMENTS,
        "상태로 결제를 조회합니다. / List payments by state.", shapes.PaymentPage,
        about="payment_status는 all도 됩니다. 기간은 최대 90일이고 양 끝을 포함합니다. "
        "/ payment_status may be all. At most 90 days, both ends included.",
        query=schemas.StatusQuery, refusals=[BAD_STATUS, BAD_PAGE],
    ),
    Operation(
        "GET", "/payments", PAYMENTS, "여러 결제를 조회합니다. / Look up several payments.", list[shapes.Payment],
        about="번호는 모두 100개까지. 일부만 찾으면 HTTP 207입니다. / Up to 100 ids; HTTP 207 if only some are found.",
        query=schemas.PaymentIds, refusals=[NO_PAYMENT], also=[207],
    ),
    Operation(
        "POST", "/payments/cancel", PAYMENTS, "전액 또는 일부를 취소합니다. / Cancel all or part.", shapes.Payment,
        about="거절도 HTTP 200이니 code를 확인하세요. 부분취소도 status는 cancelled이고 cancel_amount가 작습니다. "
        "message가 확인 중이라고 하면 다시 취소하지 말고 조회하세요. cancel_history에 있으면 취소된 것입니다. "
        "/ Refusals come with HTTP 200: read code. A partial cancel also has status cancelled, and a smaller cancel_amount. "
        "If message says that it is being confirmed, do not cancel again, look: it is done once it is in cancel_history.",
        body=schemas.CancelPayment,
        example={"imp_uid": "imp_448280090638", "amount": 3000, "checksum": 8900, "reason": "고객 요청"},
        shown={
            "status": "cancelled", "cancel_amount": 3000, "cancelled_at": 1798815600, "cancel_reason": "고객 요청",
            "cancel_history": [
                {
                    "pg_tid": "tx_20270101", "amount": 3000, "cancelled_at": 1798815600, "reason": "고객 요청",
                    "cancellation_id": "imp448280090638c1", "receipt_url": None,
                }
            ],
        },
        refusals=[
            Refusal(400, -1, "imp_uid 또는 merchant_uid를 지정해주셔야합니다. (imp_uid or merchant_uid)"),
            Refusal(200, 1, "취소할 결제건이 존재하지 않습니다."),
            Refusal(200, 1, "이미 전액취소된 주문입니다."),
            Refusal(200, 1, "checksum: 취소 가능한 잔액({balance})과 다릅니다. (differs from what is left)"),
            Refusal(200, 1, "이 결제의 다른 취소가 진행 중입니다. 잠시 후 조회해 주세요. (another cancel is under way)"),
            GATEWAY_REFUSED,
        ],
    ),
    Operation(
        "GET", "/payments/{imp_uid}/balance", PAYMENTS,
        "결제수단별 금액. PAYCO와 KCP에만 있어 항상 거절합니다. / Amounts by means; only PAYCO and KCP have it: always refused.",
        refusals=[NO_PAYMENT, NO_BALANCE],
    ),
    # --- amounts registered beforehand ---
    Operation(
        "POST", "/payments/prepare", PREPARE,
        "결제창의 금액을 사전등록합니다. / Register the amount of a payment window.", shapes.PreparedPayment,
        about="같은 값을 다시 등록해도 됩니다. / The same values may be registered again.",
        body=schemas.Prepare, example={"merchant_uid": "order-20270101-001", "amount": 8900},
        refusals=[
            Refusal(
                200, 1, "이미 다른 값으로 사전등록된 주문번호입니다. 바꾸려면 PUT /payments/prepare를 사용해 주세요. "
                "(registered with other values; change them with PUT)",
            )
        ],
    ),
    Operation(
        "PUT", "/payments/prepare", PREPARE, "사전등록한 금액을 바꿉니다. / Change it.", shapes.PreparedPayment,
        body=schemas.Prepare, example={"merchant_uid": "order-20270101-001", "amount": 9900},
        refusals=[Refusal(404, 1, "사전등록된 결제정보가 존재하지 않습니다.")],
    ),
    Operation(
        "GET", "/payments/prepare/{merchant_uid}", PREPARE,
        "사전등록한 금액을 조회합니다. / Look it up.", shapes.PreparedPayment,
        refusals=[Refusal(404, 1, "사전등록된 결제정보가 존재하지 않습니다.")],
    ),
    # --- billing keys ---
    Operation(
        "POST", "/subscribe/customers/{customer_uid}", KEYS,
        "빌링키를 발급합니다. / Issue a billing key.", shapes.BillingKey,
        about="그룹을 지정하면 그룹의 모든 활성 채널에서 발급해 하나의 슈퍼 빌링키로 묶습니다. 같은 customer_uid는 교체됩니다. "
        "/ With a group, every enabled channel issues: together one super billing key. A customer_uid in use is replaced.",
        body=schemas.IssueKey, demanded=CARD_FIELDS, example={**CARD, "channelGroupId": GROUP_ID, "customer_name": "홍길동"},
        refusals=[ISSUE_FAILED, NO_TARGET, KEY_BUSY],
        extra=shapes.IssueExtra, problem=shapes.IssueProblem,
    ),
    Operation(
        "GET", "/subscribe/customers/{customer_uid}", KEYS,
        "빌링키를 조회합니다. / Look up a billing key.", shapes.BillingKey, refusals=[NO_KEY],
    ),
    Operation(
        "DELETE", "/subscribe/customers/{customer_uid}", KEYS,
        "빌링키를 PG에서도 삭제합니다. / Delete a billing key, also at the gateways.", shapes.BillingKey,
        about="되돌릴 수 없고, 남은 예약은 실패하게 됩니다. / For good; what is reserved on it will fail.",
        refusals=[NO_KEY],
    ),
    Operation(
        "GET", "/subscribe/customers", KEYS, "여러 빌링키를 조회합니다. / Look up several keys.", list[shapes.BillingKey],
        about="100개까지. 일부만 찾으면 HTTP 207입니다. / Up to 100; HTTP 207 if only some are found.",
        query=schemas.CustomerIds, refusals=[NO_KEYS], also=[207],
    ),
    Operation(
        "GET", "/subscribe/customers/{customer_uid}/payments", KEYS,
        "빌링키로 결제한 내역 / Payments made with a billing key.", shapes.PaymentPage,
        query=schemas.PageQuery, refusals=[NO_KEYS, BAD_PAGE],
    ),
    Operation(
        "GET", "/subscribe/customers/{customer_uid}/schedules", KEYS,
        "빌링키의 예약 내역 / Payments reserved on a billing key.", shapes.ScheduledPaymentPage,
        query=schemas.CustomerScheduleQuery, refusals=[BAD_PAGE],
    ),
    # --- charges ---
    Operation(
        "POST", "/subscribe/payments/onetime", CHARGES,
        "카드 정보로 한 번 결제합니다. / Charge a card once.", shapes.Payment, about=READ_STATUS,
        body=schemas.Onetime, demanded=CARD_FIELDS, example={**ORDER, **CARD, "channelGroupId": GROUP_ID, "buyer_name": "홍길동"},
        refusals=CHARGE_REFUSALS,
    ),
    Operation(
        "POST", "/subscribe/payments/foreign", CHARGES,
        "onetime과 같습니다. 예전 클라이언트용 / Same as onetime, for older clients.", shapes.Payment, about=READ_STATUS,
        body=schemas.Onetime, demanded=CARD_FIELDS, example={**ORDER, **CARD, "buyer_name": "홍길동"},
        refusals=CHARGE_REFUSALS,
    ),
    Operation(
        "POST", "/subscribe/payments/again", CHARGES,
        "빌링키로 결제합니다. / Charge a billing key.", shapes.Payment, about=READ_STATUS,
        body=schemas.Again, example={"customer_uid": "gildong-card-1", **ORDER},
        refusals=[Refusal(200, 1, "등록되지 않은 구매자입니다."), *CHARGE_REFUSALS[1:-1]],
    ),
    # --- the payment window ---
    _file("/v1/iamport.js", "text/javascript", "브라우저 SDK: IMP.init, IMP.request_pay / The browser SDK: IMP.init, IMP.request_pay"),
    _file("/v1/iamport.d.ts", "text/plain", "SDK의 타입스크립트 타입 / Its types for TypeScript"),
    Operation(
        "POST", "/window/payments", WINDOW, "결제창을 엽니다. SDK가 호출합니다. / Open a payment window. The SDK calls it.",
        shapes.OpenedWindow,
        about="등록된 도메인(live_page_origins, test_page_origins)의 웹 페이지에서만 됩니다. 아직 결제된 것이 아니며, 같은 주문번호로 다시 열면 먼저 열린 결제창은 "
        "끝납니다. / Only from web pages of registered origins. Nothing is paid yet; opened again for the "
        "same order, the earlier window is over.",
        body=schemas.WindowPayment,
        example={"user_code": "imp12345678", "pay_method": "card", **ORDER, "channelGroupId": GROUP_ID, "buyer_tel": "010-1234-5678"},
        refusals=[
            Refusal(400, -1, "Origin: 웹 페이지에서 호출해야 합니다. (to be called by a web page)"),
            Refusal(
                200, 1, "Origin: 등록되지 않은 도메인입니다: {origin} PUT /admin/settings의 {environment}_page_origins에 등록해 주세요. "
                "(this page's origin is not registered)",
            ),
            Refusal(200, 1, "등록되지 않은 가맹점입니다. (unknown merchant)"),
            Refusal(400, -1, "m_redirect_url: 등록되지 않은 도메인입니다. (its origin is not registered)"),
            Refusal(400, -1, "pay_method: 지원하지 않는 결제수단입니다. 사용 가능: {known} (not supported)"),
            Refusal(400, -1, "vbank_due: 가상계좌 결제의 필수 값입니다. (required for pay_method vbank)"),
            Refusal(200, 1, "amount: 사전등록된 결제금액과 다릅니다. (differs from the prepared amount)"),
            ORDER_TAKEN, ORDER_RESERVED, ORDER_BUSY, NO_CHANNEL, NO_TARGET,
            Refusal(
                501, -1, "customer_uid: 결제창 빌링키 발급은 지원하지 않습니다. POST /subscribe/customers/{customer_uid}로 "
                "발급해 주세요. (billing keys are issued by API)",
            ),
            Refusal(501, -1, "escrow: 에스크로 결제를 지원하지 않습니다. (escrow is not supported)"),
        ],
        security="open",
    ),
    Operation(
        "OPTIONS", "/window/payments", WINDOW, "브라우저의 사전 요청에 답합니다. / Answers the browser's preflight.",
        NoneType, status=204, security="none", envelope=False,
    ),
    Operation(
        "POST", "/window/{ticket}/close", WINDOW,
        "구매자가 결제창을 닫았습니다. / The buyer has closed the window.", shapes.WindowResult,
        about="늦었다면 그 결제의 결과입니다. confirming이 true면 승인하는 중이니 다시 물어보세요. "
        "/ If it was too late, the payment's result. With confirming true an approval is under way: ask again.",
        refusals=NO_WINDOW, security="open",
    ),
    Operation(
        "GET", "/window/{ticket}/state", WINDOW, "결제창의 결과를 조회합니다. / What has come of a window.",
        shapes.WindowResult, refusals=NO_WINDOW, security="open", extra=shapes.WindowEnd,
    ),
    _page(
        "GET", "", "구매자의 결제창 / The buyer's payment window",
        about="주소의 ticket을 아는 사람이 이어서 결제할 수 있습니다. / Whoever knows the ticket in its address can go on with it.",
    ),
    *(
        _page(
            method, "/return", "PG가 구매자를 돌려보내는 주소 / Where gateways send the buyer back",
            status=303, also=[400],
            about="PG가 준 값을 확인하고 승인합니다. 두 번째부터는 아무 일도 하지 않습니다. "
            "/ Checks what the gateway gave and asks for the approval; a second time changes nothing.",
        )
        for method in ("GET", "POST")
    ),
    _page("POST", "/cancel", "결제를 그만둡니다. / Give up.", status=303, also=[]),
    _page(
        "POST", "/another", "PG의 스크립트가 열리지 않으면 그룹의 다른 채널로 갑니다. / On to another channel of the group.",
        status=303, also=[],
    ),
    _page("GET", "/result", "결과를 상점의 페이지에 알립니다. / Tells the shop's page the result."),
    _file(
        "/web/{name}", "text/javascript", "결제창의 스크립트와 스타일 / Scripts and styles of the pages", text_type="text/css",
        refusals=[Refusal(404, 1, "존재하지 않는 파일입니다. (no such file)")],
    ),
    # --- reserved payments ---
    Operation(
        "POST", "/subscribe/payments/schedule", SCHEDULES,
        "결제를 예약합니다. / Reserve payments.", list[shapes.ScheduledPayment],
        about="결과는 웹훅으로 알려드립니다. 채널은 결제하는 순간의 비율로 정합니다. "
        "/ Webhooks tell the results. The channel is chosen by the weights at the moment of the charge.",
        body=schemas.Schedule,
        example={"customer_uid": "gildong-card-1", "schedules": [{**ORDER, "schedule_at": 1801407600}]},
        refusals=[
            Refusal(200, 1, "등록된 고객정보가 없습니다. customer_uid를 확인해 주세요. (no billing key)"),
            ISSUE_FAILED, ORDER_TAKEN, ORDER_RESERVED, CHECK_UNCLEAR,
        ],
        problem=shapes.IssueProblem,
    ),
    Operation(
        "GET", "/subscribe/payments/schedule/{merchant_uid}", SCHEDULES,
        "예약 한 건을 조회합니다. / Look up one reserved payment.", shapes.ScheduledPayment, refusals=[NO_SCHEDULE],
    ),
    Operation(
        "GET", "/subscribe/payments/schedule", SCHEDULES,
        "예약을 기간으로 조회합니다. / List reserved payments by time.", shapes.ScheduledPaymentPage,
        about="schedule_from <= 예약 시각 < schedule_to, 최대 3개월 / From inclusive, to exclusive; three months at most.",
        query=schemas.ScheduleQuery, refusals=[BAD_PAGE],
    ),
    Operation(
        "GET", "/subscribe/payments/schedule/customers/{customer_uid}", SCHEDULES,
        "빌링키의 예약 내역 / Payments reserved on a billing key.", shapes.ScheduledPaymentPage,
        query=schemas.CustomerScheduleQuery, refusals=[BAD_PAGE],
    ),
    Operation(
        "PUT", "/subscribe/payments/schedule/{merchant_uid}", SCHEDULES,
        "아직 실행되지 않은 예약의 시각을 바꿉니다. / Move a reserved payment that has not run.", shapes.ScheduledPayment,
        body=schemas.ScheduleTime, example={"schedule_at": 1801407600},
        refusals=[
            NO_SCHEDULE,
            Refusal(400, -1, "merchant_uid: 이미 실행되었거나 취소된 예약입니다. (already run or revoked)"),
            Refusal(400, -1, "{field}: 예약 시각은 미래여야 합니다. (must be in the future)"),
            SCHEDULE_BUSY,
        ],
    ),
    Operation(
        "POST", "/subscribe/payments/schedule/{merchant_uid}/reschedule", SCHEDULES,
        "실패했거나 취소된 예약을 다시 예약합니다. / Reserve again what failed or was revoked.", shapes.ScheduledPayment,
        body=schemas.ScheduleTime, example={"schedule_at": 1801407600},
        refusals=[NO_SCHEDULE, *NOT_RETRIABLE, SCHEDULE_BUSY],
    ),
    Operation(
        "POST", "/subscribe/payments/schedule/{merchant_uid}/retry", SCHEDULES,
        "실패했거나 취소된 예약을 지금 결제합니다. / Charge now what failed or was revoked.", shapes.Payment,
        about=READ_STATUS, refusals=[NO_SCHEDULE, *NOT_RETRIABLE, SCHEDULE_BUSY],
    ),
    Operation(
        "POST", "/subscribe/payments/unschedule", SCHEDULES,
        "예약을 취소합니다. / Revoke reserved payments.", list[shapes.ScheduledPayment],
        about="customer_uid만 보내면 그 빌링키의 예약을 모두 취소합니다. / With customer_uid alone: all of that billing key.",
        body=schemas.Unschedule, example={"customer_uid": "gildong-card-1", "merchant_uid": ["order-20270101-001"]},
        refusals=[
            Refusal(400, -1, "customer_uid 또는 merchant_uid를 지정해주셔야합니다. (one is required)"),
            Refusal(200, 1, "취소할 예약결제 기록이 존재하지 않습니다."),
        ],
    ),
    # --- virtual accounts ---
    Operation(
        "POST", "/vbanks", VBANKS, "가상계좌를 발급합니다. / Issue a virtual account.", shapes.Payment,
        about="status는 ready이고, 입금되면 paid가 되어 웹훅을 보냅니다. 한 주문번호에는 살아 있는 계좌가 하나뿐입니다. "
        "/ status is ready; a deposit makes it paid, and a webhook tells. An order has one live account at a time.",
        body=schemas.IssueVirtualAccount,
        example={**ORDER, "vbank_code": "004", "vbank_due": 1798988400, "buyer_name": "홍길동"},
        shown=WAITING,
        refusals=[*CHARGE_REFUSALS[1:], BAD_BANK, GATEWAY_REFUSED],
    ),
    Operation(
        "PUT", "/vbanks/{imp_uid}", VBANKS,
        "금액이나 기한을 바꿉니다. 지금은 할 수 있는 PG가 없습니다. / Change amount or due time; no gateway here can yet.",
        shapes.Payment, body=schemas.ChangeVirtualAccount, example={"vbank_due": 1799074800},
        refusals=[
            NO_PAYMENT, NOT_VBANK, NOT_WAITING,
            Refusal(
                200, 1, "{gateway}에서는 발급된 가상계좌를 변경할 수 없습니다. 말소 후 다시 발급해 주세요. "
                "(this gateway cannot change a virtual account: revoke it and issue another)",
            ),
        ],
    ),
    Operation(
        "DELETE", "/vbanks/{imp_uid}", VBANKS,
        "입금 전인 가상계좌를 말소합니다. / Revoke an account that nobody has paid into.", shapes.Payment,
        about="입금과 겹치면 입금이 이깁니다. / If a deposit comes first, the deposit stands.",
        shown=REVOKED, refusals=[NO_PAYMENT, NOT_VBANK, NOT_WAITING, REVOKE_UNCLEAR, GATEWAY_REFUSED],
    ),
    Operation(
        "POST", "/notices/{user_code}/{channel_key}", VBANKS,
        "PG의 입금 통보를 받습니다. / Where gateways tell of deposits.", NoneType, text_type="text/html",
        about="PG에 등록하는 주소입니다. 통보는 믿지 않고, PG에 조회해 확인합니다. PG가 정한 말로 답해야 하는 PG에는 그 말만 보냅니다. "
        "/ Register it at the gateway. A notice is not believed: the gateway is asked. Gateways that want to read a word get "
        "that word alone.",
        refusals=[
            Refusal(400, -1, "{field}: 필수 값입니다. (required)"),
            Refusal(404, 1, "해당하는 가상계좌가 없습니다. (no such virtual account)"),
            Refusal(503, -1, "지금은 확인할 수 없습니다. 잠시 후 다시 보내 주세요. (cannot be verified now, send it again)"),
        ],
        security="open",
    ),
    Operation(
        "GET", "/notices/{user_code}/{channel_key}", PAYMENTS,
        "PG의 결제 통보를 받습니다. / Where gateways tell of charges.", str,
        about="심사 후에 승인하는 PG(페이먼트월)에 등록하는 주소입니다. 서명을 확인하고, PG에 조회해 처리합니다. "
        "/ For gateways that decide after a review (Paymentwall). The signature is checked, and the gateway is asked.",
        refusals=[
            Refusal(400, -1, "{field}: 필수 값입니다. (required)"),
            Refusal(404, 1, "해당하는 결제가 없습니다. (no such payment)"),
            Refusal(503, -1, "지금은 확인할 수 없습니다. 잠시 후 다시 보내 주세요. (cannot be verified now, send it again)"),
        ],
        security="open", envelope=False, media_type="text/plain",
    ),
    # --- cash receipts ---
    Operation(
        "POST", "/receipts/{imp_uid}", RECEIPTS,
        "결제의 현금영수증을 발급합니다. / Issue a cash receipt for a payment.", shapes.CashReceipt,
        about="가상계좌나 계좌이체로 결제된 건만, 남은 금액으로 발급합니다. 결제를 취소해도 현금영수증은 따로 취소해야 합니다. "
        "/ For paid virtual accounts and transfers, of what is left. Cancelling the payment does not cancel the receipt.",
        body=schemas.IssueReceipt, example={"identifier": "010-1234-5678", "identifier_type": "phone"},
        refusals=[
            NO_PAYMENT, NOT_PAID, NOT_CASH,
            Refusal(400, -1, "imp_uid: 이미 현금영수증이 발급된 건입니다. (already issued)"),
            RECEIPT_UNCLEAR, RECEIPT_GONE, RECEIPT_CANCEL_UNCLEAR, RECEIPT_BUSY, GATEWAY_REFUSED, NO_RECEIPTS_HERE,
        ],
    ),
    Operation(
        "GET", "/receipts/{imp_uid}", RECEIPTS,
        "결제의 현금영수증을 조회합니다. / Look up the cash receipt of a payment.", shapes.CashReceipt,
        refusals=[
            Refusal(404, -1, "{imp_uid}: 현금영수증이 발급된 내역이 없습니다. (no cash receipt was issued)"),
            RECEIPT_UNCLEAR,
        ],
    ),
    Operation(
        "DELETE", "/receipts/{imp_uid}", RECEIPTS,
        "결제의 현금영수증을 취소합니다. / Cancel the cash receipt of a payment.", shapes.CashReceipt,
        refusals=[
            Refusal(400, -1, "imp_uid: 현금영수증이 발급된 내역이 없습니다. (no cash receipt was issued)"),
            Refusal(400, -1, "imp_uid: 이미 취소된 현금영수증입니다. (already cancelled)"),
            RECEIPT_UNCLEAR, RECEIPT_CANCEL_UNCLEAR, RECEIPT_BUSY, GATEWAY_REFUSED,
        ],
    ),
    Operation(
        "POST", "/receipts/external/{merchant_uid}", RECEIPTS,
        "다른 곳에서 받은 현금의 현금영수증을 발급합니다. / Issue a cash receipt for cash taken elsewhere.",
        shapes.ExternalCashReceipt,
        body=schemas.IssueExternalReceipt,
        example={"channel_key": CHANNEL_KEY, "name": "현장 판매", "amount": 8900, "identifier": "010-1234-5678"},
        refusals=[
            Refusal(400, -1, "merchant_uid: 이미 현금영수증이 발급된 건입니다. (already issued)"),
            RECEIPT_UNCLEAR, RECEIPT_GONE, RECEIPT_CANCEL_UNCLEAR, RECEIPT_BUSY, GATEWAY_REFUSED, NO_RECEIPTS_HERE,
        ],
    ),
    Operation(
        "GET", "/receipts/external/{merchant_uid}", RECEIPTS,
        "그 현금영수증을 조회합니다. / Look it up.", shapes.ExternalCashReceipt,
        refusals=[NO_EXTERNAL_RECEIPT, RECEIPT_UNCLEAR],
    ),
    Operation(
        "DELETE", "/receipts/external/{merchant_uid}", RECEIPTS,
        "그 현금영수증을 취소합니다. / Cancel it.", shapes.ExternalCashReceipt,
        refusals=[
            NO_EXTERNAL_RECEIPT,
            Refusal(400, -1, "merchant_uid: 이미 취소된 현금영수증입니다. (already cancelled)"),
            RECEIPT_UNCLEAR, RECEIPT_CANCEL_UNCLEAR, RECEIPT_BUSY, GATEWAY_REFUSED,
        ],
    ),
    # --- codes and channels ---
    Operation("GET", "/cards", CODES, "카드사 코드 / Codes of card companies", list[shapes.Institution]),
    Operation(
        "GET", "/cards/{card_standard_code}", CODES, "카드사 이름 / Name of a card company", shapes.Institution,
        refusals=[Refusal(404, 1, "{field}: 등록되지 않은 코드입니다. (unknown code)")],
    ),
    Operation("GET", "/banks", CODES, "은행과 증권사 코드 / Codes of banks and brokers", list[shapes.Institution]),
    Operation(
        "GET", "/banks/{bank_standard_code}", CODES, "은행 이름 / Name of a bank", shapes.Institution,
        refusals=[Refusal(404, 1, "{field}: 등록되지 않은 코드입니다. (unknown code)")],
    ),
    Operation("GET", "/users/pg", CODES, "연동된 채널 목록 / Your channels", list[shapes.PgSetting]),
    Operation(
        "GET", "/tiers/{tier_code}", CODES, "하위 상점. 없으므로 항상 404 / Sub-merchants: there are none, always 404",
        refusals=[
            Refusal(
                404, 1, "등록되지 않은 하위 상점입니다. 이 서비스에는 하위 상점(Tier)이 없습니다. (no such tier: there are none)",
            )
        ],
    ),
    # --- this reference ---
    Operation(
        "GET", "/openapi.json", REFERENCE, "이 문서의 OpenAPI 3.1 / This reference as OpenAPI 3.1", dict[str, Any],
        security="none", envelope=False,
    ),
    Operation(
        "GET", "/docs", REFERENCE, "이 문서 / This page", str, query=Language, security="none", envelope=False,
        media_type="text/html",
    ),
    # --- the admin API ---
    _admin(
        "POST", "/admin/channels", "채널을 만듭니다. / Create a channel.", shapes.Channel,
        Refusal(409, "refused", "채널은 {limit}개까지 만들 수 있습니다. (channel limit reached)"),
        about="인증 정보는 저장만 하고 다시 보여드리지 않습니다. / Credentials are stored and never shown again.",
        body=schemas.ChannelBody, status=201,
        example={
            "name": "토스 정기결제", "pg_provider": "tosspayments", "pg_id": "tosstest", "environment": "test",
            "credentials": {"secret_key": "test_sk_..."},
        },
    ),
    _admin("GET", "/admin/channels", "채널과 그 상태 목록 / List channels and their health.", list[shapes.WatchedChannel]),
    _admin("GET", "/admin/channels/{channel_key}", "채널 하나와 그 상태 / One channel and its health.", shapes.WatchedChannel),
    _admin(
        "PUT", "/admin/channels/{channel_key}",
        "이름을 바꾸거나 인증 정보를 교체합니다. 빌링키는 유지됩니다. / Rename, or rotate credentials; billing keys stay.",
        shapes.Channel, body=schemas.ChannelChangeBody, example={"name": "토스 (새 이름)"},
    ),
    _admin(
        "POST", "/admin/channels/{channel_key}/test",
        "PG사에 연결되는지 확인합니다. 결제는 일어나지 않습니다. / Ask the gateway whether it answers; nothing is charged.",
        shapes.ConnectionTest,
        about="없는 주문을 조회합니다. 장애로 제외된 채널이 응답하면 바로 다시 사용합니다. "
        "/ Asks about an order that never was. A channel that is left out as down is used again at once if it answers.",
    ),
    _admin(
        "DELETE", "/admin/channels/{channel_key}",
        "채널을 삭제합니다. 그룹에 있으면 거절합니다. / Delete a channel; refused while a group has it.", shapes.Channel,
        Refusal(409, "refused", "채널 그룹에서 사용 중인 채널은 삭제할 수 없습니다: {groups} (channel is in a group)"),
    ),
    _admin(
        "POST", "/admin/channel-groups", "채널 그룹을 만듭니다. / Create a channel group.", shapes.ChannelGroup,
        body=schemas.NewGroupBody, example=GROUP_BODY, status=201,
    ),
    _admin("GET", "/admin/channel-groups", "채널 그룹 목록 / List channel groups.", list[shapes.ChannelGroup]),
    _admin("GET", "/admin/channel-groups/{group_id}", "채널 그룹 하나 / One channel group.", shapes.ChannelGroup),
    _admin(
        "PUT", "/admin/channel-groups/{group_id}",
        "내용 전체를 바꾸거나, begin_at으로 예약합니다. / Replace the whole content, or reserve it with begin_at.",
        shapes.ChannelGroup, body=schemas.GroupBody, example=GROUP_BODY,
    ),
    _admin(
        "DELETE", "/admin/channel-groups/{group_id}",
        "채널 그룹을 삭제합니다. 되돌릴 수 없습니다. / Delete a channel group, for good.", shapes.ChannelGroup,
        about="이 그룹의 슈퍼 빌링키와 그 예약은 더 이상 결제되지 않고, 기본 그룹이었다면 기본값이 없어집니다. "
        "/ Its super billing keys, and what is reserved on them, are charged no more; if it was the default, there is none.",
    ),
    _admin(
        "DELETE", "/admin/channel-groups/{group_id}/reservation",
        "예약된 변경을 취소합니다. / Drop the reserved change.", shapes.ChannelGroup,
    ),
    _admin(
        "POST", "/admin/channel-groups/{group_id}/roll-back",
        "이전 버전의 내용을 새 버전으로 저장합니다. / Save the content of an earlier version as a new one.",
        shapes.ChannelGroup,
        Refusal(404, "not_found", "존재하지 않는 버전입니다: {version} (unknown version)"),
        Refusal(409, "refused", "version: 이미 적용 중인 버전입니다. (this version is in force)"),
        Refusal(
            409, "refused",
            "version: 삭제된 채널이 있어 되돌릴 수 없습니다: {names} (a channel of this version was deleted)",
        ),
        about="지금, 또는 begin_at에 적용됩니다. 시작되지 못한 예약의 내용으로도 되돌릴 수 있습니다. "
        "/ At once, or from begin_at. The content of a reservation that never began will do, too.",
        body=schemas.RollBackBody, example={"version": 1},
    ),
    _admin(
        "GET", "/admin/channel-groups/{group_id}/history",
        "누가 언제 무엇을 바꿨는지, 최신순 / Who changed what when, newest first.", list[shapes.AuditEntry],
    ),
    _admin("GET", "/admin/settings", "설정 / Settings.", shapes.MerchantSettings),
    _admin(
        "PUT", "/admin/settings", "설정을 바꿉니다. 보내지 않은 값은 그대로입니다. / Change settings; what is not sent stays.",
        shapes.MerchantSettings, body=schemas.SettingsBody,
        example={"default": GROUP_ID, "live_page_origins": ["https://shop.example.com"]},
    ),
    _admin(
        "GET", "/admin/payments/{imp_uid}",
        "결제, PG에 보낸 시도와 채널을 고른 이유 / A payment, its attempts, and why each went where it went.",
        shapes.RoutedPayment, UNKNOWN_PAYMENT,
    ),
    _admin(
        "GET", "/admin/alarms", "사람이 확인해야 하는 것, 최신순 / What waits for a person, newest first.", shapes.Alarms,
        Refusal(400, "invalid_request", "kind: cursor를 보낼 때 필수 값입니다. (required with cursor)"),
        query=schemas.AlarmQuery,
    ),
    _admin(
        "POST", "/admin/payments/{imp_uid}/check", "PG사에 지금 조회합니다. / Ask the gateway now.", shapes.RoutedPayment,
        UNKNOWN_PAYMENT, AT_WORK, Refusal(409, "refused", "확인할 것이 없는 결제입니다. (nothing is open)"),
    ),
    _admin(
        "POST", "/admin/payments/{imp_uid}/settle",
        "결과를 알 수 없는 결제를 직접 확정합니다. / Settle a payment that the gateway cannot tell the outcome of.",
        shapes.RoutedPayment, UNKNOWN_PAYMENT, AT_WORK, SETTLED,
        Refusal(400, "invalid_request", "pg_tid: 결제를 승인으로 처리할 때 필수 값입니다. (required for paid)"),
        Refusal(409, "refused", "outcome: PG사에 거래가 없습니다. (the gateway has no such transaction)"),
        Refusal(409, "refused", "outcome: 승인을 취소하는 중인 결제입니다. (it is being undone)"), MAY_STILL_COME,
        Refusal(
            409, "refused",
            "결제는 확정되었고, 취소 결과를 확인 중입니다. 취소를 확정해 주세요. (the payment is settled: settle its cancel)",
        ),
        about="PG사에 조회할 수 있으면 먼저 조회하고, 분명한 답이 있으면 그 답을 따르고 message로 알려드립니다. 웹훅이 갑니다. "
        "/ Asks the gateway first where that is possible; its clear answer wins, and message says so. The webhook is sent.",
        body=schemas.SettlePayment,
        example={"outcome": "paid", "pg_tid": "tviva20270101000000abcd1", "reason": "PG 관리자에서 승인 확인"},
    ),
    _admin(
        "POST", "/admin/payments/{imp_uid}/cancels/{cancellation_id}/settle",
        "결과를 알 수 없는 취소를 직접 확정합니다. / Settle a cancel that the gateway cannot tell the outcome of.",
        shapes.RoutedPayment, UNKNOWN_PAYMENT, AT_WORK, SETTLED,
        Refusal(404, "not_found", "존재하지 않는 취소입니다: {cancellation_id} (unknown cancel)"),
        Refusal(409, "refused", "outcome: PG사의 잔액이 그대로입니다. (the gateway's balance shows no cancel)"),
        MAY_STILL_COME,
        body=schemas.SettleCancel, example={"outcome": "done", "reason": "PG 관리자에서 취소 확인"},
    ),
    _admin(
        "DELETE", "/admin/payments/{imp_uid}/alarm",
        "알림을 확인한 것으로 합니다. / Take note of an alarm.", shapes.RoutedPayment, UNKNOWN_PAYMENT,
        Refusal(409, "refused", "확인할 알림이 없는 결제입니다. (no alarm)"),
        Refusal(409, "refused", "결과가 확정되지 않아 알림을 끌 수 없습니다. (still open: settle it)"),
        body=schemas.Acknowledge, example={"reason": "고객에게 안내함"},
    ),
    *(
        _admin(
            "POST", path,
            "결과를 알 수 없는 현금영수증 발급을 직접 확정합니다. / Settle the issue of a cash receipt in doubt.",
            shapes.DoubtfulReceipt, AT_WORK, SETTLED,
            Refusal(400, "invalid_request", "receipt_tid: 발급으로 처리할 때 필수 값입니다. (required for issued)"),
            Refusal(404, "not_found", f"{{{subject}}}: 현금영수증이 발급된 내역이 없습니다. (no cash receipt was issued)"),
            body=schemas.SettleReceipt, example={"outcome": "not_issued", "reason": "PG 관리자에 발급 내역 없음"},
        )
        for subject, path in (
            ("imp_uid", "/admin/receipts/{imp_uid}/settle"),
            ("merchant_uid", "/admin/receipts/external/{merchant_uid}/settle"),
        )
    ),
    _admin(
        "GET", "/admin/payments/{imp_uid}/webhooks",
        "결제의 웹훅: 보낸 것과 보낼 것, 오래된 순 / Webhooks of a payment, sent and to be sent, oldest first.",
        list[shapes.SentWebhook], Refusal(404, "not_found", "존재하지 않는 결제정보입니다."),
    ),
    _admin(
        "GET", "/admin/webhooks", "전달을 포기한 웹훅, 최신순 / Webhooks that were given up, newest first.",
        shapes.WebhookList, query=schemas.WebhookQuery,
    ),
    _admin(
        "POST", "/admin/webhooks/{webhook_id}/resend",
        "웹훅을 다시 보냅니다. 상태와 관계없이 같은 webhook-id로, 그때의 URL로 갑니다. "
        "/ Send a webhook again, whatever its state: same webhook-id, to its URL of then.",
        shapes.SentWebhook, Refusal(404, "not_found", "존재하지 않는 웹훅입니다: {webhook_id} (unknown webhook)"),
    ),
    _admin(
        "DELETE", "/admin/webhooks/{webhook_id}/alarm",
        "포기한 웹훅을 확인한 것으로 합니다. / Take note of a webhook that was given up.", shapes.SentWebhook,
        Refusal(404, "not_found", "존재하지 않는 웹훅입니다: {webhook_id} (unknown webhook)"),
        Refusal(409, "refused", "전달을 포기한 웹훅이 아닙니다. (it was not given up)"),
        body=schemas.Acknowledge, example={"reason": "더 이상 쓰지 않는 주소"},
    ),
    _admin(
        "POST", "/admin/settings/test-webhook",
        "저장된 URL로 예시 웹훅을 한 번 보내고 결과를 알려드립니다. / Send an example to the saved URL, once, and tell what came of it.",
        shapes.WebhookTrial,
        Refusal(400, "invalid_request", "{name}: 저장된 URL이 없습니다. (no URL is saved)"),
        body=schemas.TestWebhookBody, example={"environment": "test"},
    ),
    _admin(
        "POST", "/admin/settings/rotate-webhook-secret",
        "웹훅 서명 키를 바꿉니다. 24시간 동안 이전 키로도 서명합니다. / A new secret for signatures; the old one signs beside it for 24 hours.",
        shapes.WebhookSecret,
    ),
    # --- what V1 has and this service has not ---
    *_not_offered(),
    Operation(
        "GET", "/certifications/{imp_uid}", NOT_OFFERED, "본인인증 결과. 항상 404 / Identity certification: always 404",
        refusals=[Refusal(404, 1, "인증결과가 존재하지 않습니다.")],
    ),
)  # fmt: skip
