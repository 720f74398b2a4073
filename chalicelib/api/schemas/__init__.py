"""What callers may send: one model per request, with V1's spellings, mapped by hand to the domain's values.

Unknown keys are ignored, since V1 clients send some. Both spellings of a name are accepted everywhere. Errors name
the field and never repeat the value: it may be a card number.
"""

from chalicelib.api.schemas.admin import (
    ChannelBody,
    ChannelChangeBody,
    EntryBody,
    GroupBody,
    NewGroupBody,
    RollBackBody,
    SettingsBody,
)
from chalicelib.api.schemas.billing import IssueKey, Schedule, ScheduleEntry, Unschedule
from chalicelib.api.schemas.by_hand import Acknowledge, AlarmQuery, SettleCancel, SettlePayment, SettleReceipt
from chalicelib.api.schemas.charges import Again, ChargeFields, Onetime
from chalicelib.api.schemas.fields import parse
from chalicelib.api.schemas.lookups import (
    CustomerIds,
    CustomerScheduleQuery,
    FindAllQuery,
    PageQuery,
    PaymentIds,
    ScheduleQuery,
    StatusQuery,
    parse_query,
)
from chalicelib.api.schemas.payments import CancelPayment, GetToken
from chalicelib.api.schemas.prepare import Prepare
from chalicelib.api.schemas.receipts import IssueExternalReceipt, IssueReceipt
from chalicelib.api.schemas.scheduling import ScheduleTime
from chalicelib.api.schemas.virtual_accounts import ChangeVirtualAccount, IssueVirtualAccount
from chalicelib.api.schemas.webhooks import TestWebhookBody, WebhookQuery
from chalicelib.api.schemas.windows import WindowPayment

__all__ = [
    "Acknowledge",
    "Again",
    "AlarmQuery",
    "CancelPayment",
    "ChangeVirtualAccount",
    "ChannelBody",
    "ChannelChangeBody",
    "ChargeFields",
    "CustomerIds",
    "CustomerScheduleQuery",
    "EntryBody",
    "FindAllQuery",
    "GetToken",
    "GroupBody",
    "IssueExternalReceipt",
    "IssueKey",
    "IssueReceipt",
    "IssueVirtualAccount",
    "NewGroupBody",
    "Onetime",
    "PageQuery",
    "PaymentIds",
    "Prepare",
    "RollBackBody",
    "Schedule",
    "ScheduleEntry",
    "ScheduleQuery",
    "ScheduleTime",
    "SettingsBody",
    "SettleCancel",
    "SettlePayment",
    "SettleReceipt",
    "StatusQuery",
    "TestWebhookBody",
    "Unschedule",
    "WebhookQuery",
    "WindowPayment",
    "parse",
    "parse_query",
]
