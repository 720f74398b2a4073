"""What callers get: the JSON that `views` makes, as types. For the reference, and for checking real answers in tests.

Every key is always there unless it has a default. What the names mean stands in `glossary`. Loaded when the reference
is first asked for; no answer is built from these.
"""

import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Amount = float
UnixTime = Annotated[int, Field(ge=0)]
"""Seconds; 0 = has not happened."""

Moment = Annotated[
    str, Field(description="시각 (ISO 8601) / When (ISO 8601)", examples=["2026-12-31T15:00:00.123456+00:00"])
]

Status = Literal["ready", "paid", "cancelled", "failed"]
PayMethod = Literal["card", "trans", "vbank", "phone", "paypal"]
EnvironmentName = Literal["live", "test"]


def _own_first(schema: dict[str, Any], shape: type[BaseModel]) -> None:
    """Ids and states before the blocks of card and buyer that a shape inherits."""
    properties = schema.get("properties", {})
    own = [name for name in inspect.get_annotations(shape) if name in properties]
    schema["properties"] = {name: properties[name] for name in [*own, *properties]}


class Shape(BaseModel):
    model_config = ConfigDict(json_schema_extra=_own_first)


class Problem(Shape):
    """V1: what was not done, and why."""

    code: Literal[1, -1]
    message: str
    response: None
    field: str = ""


class AdminProblem(Shape):
    code: Annotated[str, Field(description="오류의 종류 / Kind of error")]
    message: str
    field: str = ""


class Token(Shape):
    access_token: str
    now: UnixTime
    expired_at: UnixTime


class CardFields(Shape):
    card_name: str | None
    card_code: str | None
    card_issuer_code: str | None
    card_issuer_name: str | None
    card_publisher_code: str | None
    card_publisher_name: str | None
    card_number: str | None
    card_type: Literal[0, 1] | None


class BuyerFields(Shape):
    buyer_name: str | None
    buyer_email: str | None
    buyer_tel: str | None
    buyer_addr: str | None
    buyer_postcode: str | None


class CustomerFields(Shape):
    customer_name: str | None
    customer_email: str | None
    customer_tel: str | None
    customer_addr: str | None
    customer_postcode: str | None


class Cancellation(Shape):
    pg_tid: str | None
    amount: Amount
    cancelled_at: UnixTime
    reason: str
    cancellation_id: str
    receipt_url: str | None


class Payment(CardFields, BuyerFields):
    imp_uid: str
    merchant_uid: str
    status: Status
    amount: Amount
    cancel_amount: Amount
    currency: str
    name: str | None
    pay_method: PayMethod
    channel: Literal["pc", "mobile", "api"]
    pg_provider: str | None
    emb_pg_provider: str | None
    pg_tid: str | None
    pg_id: str | None
    sandbox: bool
    escrow: bool
    apply_num: str | None
    card_quota: Annotated[int, Field(ge=0)]
    bank_code: str | None
    bank_name: str | None
    vbank_code: str | None
    vbank_name: str | None
    vbank_num: str | None
    vbank_holder: str | None
    vbank_date: UnixTime
    vbank_issued_at: UnixTime
    custom_data: str | None
    user_agent: str | None
    started_at: UnixTime
    paid_at: UnixTime
    failed_at: UnixTime
    cancelled_at: UnixTime
    fail_reason: str | None
    cancel_reason: str | None
    receipt_url: str | None
    cancel_history: list[Cancellation]
    cancel_receipt_urls: list[str]
    cash_receipt_issued: bool
    customer_uid: str | None
    customer_uid_usage: Literal["issue", "payment", "payment.scheduled"] | None
    promotion: None


class OpenedWindow(Shape):
    """A payment window that can be shown now."""

    imp_uid: str
    merchant_uid: str
    url: Annotated[
        str,
        Field(
            description="결제창의 주소, 이 서비스의 주소에서부터 / The window's address, from this service's root",
            examples=["window/imp12345678-448280090638-0123456789abcdef0123456789abcdef"],
        ),
    ]


class WindowResult(BuyerFields):
    """What `IMP.request_pay` gives its callback. It proves nothing: look the payment up, from a server."""

    success: Annotated[bool, Field(description="false면 실패 / false: it failed", examples=[True])]
    imp_success: Annotated[bool, Field(description="success와 같습니다. / Same as success", examples=[True])]
    confirming: Annotated[bool, Field(description="true면 아직 결과를 모릅니다. / true: nobody knows the outcome yet")]
    imp_uid: str
    merchant_uid: str
    status: Status
    pay_method: PayMethod
    pg_type: Annotated[Literal["payment"], Field(description="언제나 payment / Always payment")]
    paid_amount: Annotated[
        Amount, Field(description="금액. 실패하면 없습니다. / The amount; not there if it failed")
    ] = 0
    error_code: Annotated[str, Field(description="실패하면 PG의 코드 / The gateway's code, if it failed")] = ""
    error_msg: Annotated[str, Field(description="실패하면 그 이유 / Why, if it failed")] = ""
    name: str | None
    currency: str
    pg_provider: str | None
    emb_pg_provider: str | None
    pg_tid: str | None
    apply_num: str | None
    bank_name: str | None
    card_name: str | None
    card_number: str | None
    card_quota: Annotated[int, Field(ge=0)]
    vbank_num: str | None
    vbank_name: str | None
    vbank_holder: str | None
    vbank_date: UnixTime
    custom_data: str | None
    paid_at: UnixTime
    receipt_url: str | None


class WindowEnd(Shape):
    """Where the buyer goes from the window's last page."""

    done_url: Annotated[str | None, Field(description="상점으로 돌아갈 주소 / Back to the shop")]


class Webhook(Shape):
    """What merchants are sent when something happens to a payment."""

    imp_uid: str
    merchant_uid: str
    status: Status
    cancellation_id: str = ""


class Page(Shape):
    total: Annotated[int, Field(ge=0)]
    previous: Annotated[int, Field(ge=0)]
    next: Annotated[int, Field(ge=0)]


class PaymentPage(Page):
    list: list[Payment]


class OrdinaryKey(CardFields, CustomerFields):
    """A billing key of one channel."""

    customer_uid: str
    pg_provider: str
    pg_id: str
    sandbox: bool
    customer_id: str | None
    inserted: UnixTime
    updated: UnixTime


class SucceededChannel(CardFields):
    pg_provider: str
    pg_id: str
    inserted: UnixTime
    updated: UnixTime


class FailedChannel(Shape):
    type: Literal["INVALID_REQUEST", "PG_PROVIDER", "DB_FAILED"]
    message: str
    pg_provider: str
    pg_id: str


class SuperKey(CustomerFields):
    """One billing key at every channel of a group that could issue it."""

    customer_uid: str
    channelGroupId: str
    customer_id: str | None
    succeededChannels: list[SucceededChannel]
    failedChannels: list[FailedChannel]


class SuperKeyByDefault(SuperKey, OrdinaryKey):
    """Issued by a request that named no group: with the ordinary key's fields too, for clients that know only those."""


BillingKey = SuperKey | SuperKeyByDefault | OrdinaryKey


class IssuedChannel(Shape):
    key: str
    pgProvider: str
    pgMerchantId: str


class BillingKeyInfo(Shape):
    customer_uid: str
    channels: list[IssuedChannel]


class ChannelFailure(Shape):
    type: Literal["INVALID_REQUEST", "PG_PROVIDER", "DB_FAILED"]
    channel: IssuedChannel
    message: str
    pgCode: str = ""
    pgMessage: str | None = None


class IssueExtra(Shape):
    """Beside V1's envelope, on the top level of an issue answer."""

    billingKeyInfo: BillingKeyInfo
    channelSpecificFailures: list[ChannelFailure]


class IssueProblem(Problem):
    channelSpecificFailures: list[ChannelFailure] = []


class ScheduledPayment(BuyerFields):
    customer_uid: str
    merchant_uid: str
    imp_uid: str | None
    pg_provider: str | None
    pg_id: str | None
    customer_id: str | None
    schedule_at: UnixTime
    executed_at: UnixTime
    revoked_at: UnixTime
    amount: Amount
    currency: str
    name: str | None
    custom_data: str | None
    schedule_status: Literal["scheduled", "executed", "revoked"]
    payment_status: Status | None
    fail_reason: str | None
    promotion_id: str | None


class ScheduledPaymentPage(Page):
    list: list[ScheduledPayment]


class PreparedPayment(Shape):
    merchant_uid: str
    amount: Amount
    currency: str | None


class ReceiptFields(Shape):
    receipt_tid: str
    apply_num: str | None
    type: Literal["person", "company"]
    amount: int
    vat: int
    receipt_url: str | None
    applied_at: UnixTime
    cancelled_at: UnixTime


class CashReceipt(ReceiptFields):
    imp_uid: str


class ExternalCashReceipt(ReceiptFields):
    merchant_uid: str


class Institution(Shape):
    code: str
    name: str


class PgSetting(Shape):
    pg_provider: str
    pg_id: str
    sandbox: bool
    type: Literal["payment", "api_payment", "certification"]
    channel_name: str
    channel_key: str


# --- the admin API ---


class Channel(Shape):
    channel_key: str
    name: str
    pg_provider: str
    pg_id: str
    environment: EnvironmentName
    created_at: UnixTime
    options: list[str]


class ChannelHealth(Shape):
    state: Literal["up", "down", "probation"]
    since: UnixTime | None
    failures: int
    next_probe_at: UnixTime | None
    last_error: str | None


class WatchedChannel(Channel):
    health: ChannelHealth


class ConnectionTest(Shape):
    """Whether a channel's gateway answers, and takes its credentials."""

    ok: Annotated[
        bool | None,
        Field(
            description="true: 정상, false: 연결되지 않거나 거절됨, null: 조회할 수 없는 채널 "
            "/ true: well, false: not reached or refused, null: a channel that cannot be asked"
        ),
    ]
    message: str
    took_ms: int | None


class GroupEntry(Shape):
    channel_key: str
    weight: Annotated[int, Field(ge=0, le=100)]
    enabled: bool


class GroupVersion(Shape):
    version: int
    name: str
    failover: Literal["off", "unsent", "declined"]
    channels: list[GroupEntry]
    begin_at: UnixTime
    saved_at: UnixTime
    saved_by: str


class ChannelGroup(GroupVersion):
    """The version in force, and the reserved one beside it."""

    id: str
    environment: EnvironmentName
    created_at: UnixTime
    reservation: GroupVersion | None
    message: str = ""


class AuditEntry(Shape):
    action: str
    at: UnixTime
    by: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class MerchantSettings(Shape):
    default: str | None
    live_webhook_url: str | None
    test_webhook_url: str | None
    webhook_content_type: Literal["application/json", "application/x-www-form-urlencoded"]
    live_page_origins: list[str]
    test_page_origins: list[str]


class SentWebhook(Shape):
    """One message to one URL, and what came of it."""

    webhook_id: str
    imp_uid: str
    merchant_uid: str
    status: Annotated[Status, Field(description="알린 결제 상태 / Status of the payment that it tells")]
    cancellation_id: str | None
    url: Annotated[str, Field(description="받는 URL / Where it goes")]
    state: Annotated[
        Literal["pending", "delivered", "dead", "noted", "superseded"],
        Field(
            description="pending: 보내는 중, dead: 포기, noted: 포기하고 확인함, superseded: 뒤의 웹훅이 대신함 "
            "/ pending: being sent, dead: given up, noted: given up and known, superseded: a later one replaced it"
        ),
    ]
    tries: Annotated[int, Field(description="보낸 횟수 / How often it was tried")]
    last_result: Annotated[str | None, Field(description="마지막 결과 / What came of the last try")]
    created_at: Annotated[UnixTime, Field(description="상태가 바뀐 시각 / When it happened")]
    tried_at: Annotated[UnixTime, Field(description="마지막으로 보낸 시각 / Last try")]
    resent_at: Annotated[UnixTime, Field(description="다시 보내도록 한 시각 / When somebody had it sent again")]
    due_at: Annotated[UnixTime, Field(description="다음에 보낼 시각 / Next try")]


Cursor = Annotated[
    str | None, Field(description="더 있으면 다음 요청에 보낼 값 / If there is more: send this to get it")
]


class WebhookList(Shape):
    list: list[SentWebhook]
    cursor: Cursor


class WebhookTrial(Shape):
    url: Annotated[str, Field(description="보낸 URL / Where it was sent")]
    delivered: Annotated[bool, Field(description="2xx를 받았는지 / The answer was 2xx")]
    result: Annotated[str, Field(description="결과 / What came of it", examples=["HTTP 200"])]
    took_ms: int


class WebhookSecret(Shape):
    webhook_secret: Annotated[
        str, Field(description="새 서명 키. 다시 보여드리지 않습니다. / The new secret; not shown again")
    ]
    old_until: Annotated[
        UnixTime, Field(description="이전 키로도 서명하는 마지막 시각 / Until then the old one signs too")
    ]


class Candidate(Shape):
    channel_key: str
    pg_provider: str
    weight: int


class Exclusion(Shape):
    channel_key: str
    pg_provider: str
    code: str
    message: str


class RoutingDecision(Shape):
    mode: str
    chosen: str
    draw: float | None
    channel_group_id: str | None
    group_version: int | None
    decided_at: Moment | None
    candidates: list[Candidate]
    exclusions: list[Exclusion]


class PaymentAttempt(Shape):
    started_at: Moment
    number: int
    order_id: str
    channel_key: str
    pg_provider: str
    pg_id: str
    took_ms: int | None
    outcome: str | None
    reason: str | None
    code: str | None
    message: str | None
    decision: RoutingDecision


class AnyCancellation(Cancellation):
    state: str
    requested_at: UnixTime
    message: str | None


class RoutedPayment(Shape):
    """How a payment came to where it went."""

    imp_uid: str
    merchant_uid: str
    state: str
    alarm: str | None
    due_at: UnixTime | None
    payment: Payment
    attempts: list[PaymentAttempt]
    cancels: list[AnyCancellation]
    history: list[AuditEntry]
    message: str = ""


class WaitingPayment(Shape):
    """A payment that waits for a person, and where to look for it."""

    imp_uid: str
    merchant_uid: str
    status: Status
    state: str
    alarm: str
    since: UnixTime
    due_at: UnixTime | None
    amount: Amount
    currency: str
    channel_key: str
    pg_provider: str
    pg_id: str
    order_id: str
    pg_tid: str | None
    cancellation_id: Annotated[str | None, Field(description="결과를 모르는 취소 / The cancel in doubt")]


class DoubtfulReceipt(Shape):
    """A cash receipt and what became of it: issuing and cancelling are in doubt."""

    imp_uid: str | None
    merchant_uid: str | None
    state: str
    since: UnixTime
    amount: Amount
    channel_key: str
    pg_provider: str
    order_id: str
    receipt_tid: str | None


class WaitingPayments(Shape):
    list: list[WaitingPayment]
    cursor: Cursor


class DoubtfulReceipts(Shape):
    list: list[DoubtfulReceipt]
    cursor: Cursor


class Alarms(Shape):
    """Only the kind that was asked for, or all of them."""

    payments: Annotated[WaitingPayments | None, Field(description="결제 / Payments")] = None
    webhooks: Annotated[WebhookList | None, Field(description="포기한 웹훅 / Webhooks that were given up")] = None
    cash_receipts: Annotated[
        DoubtfulReceipts | None, Field(description="결과를 모르는 현금영수증 / Cash receipts in doubt")
    ] = None
