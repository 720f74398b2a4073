"""What callers may send: one model per request, with V1's spellings, mapped by hand to the domain's values.

Unknown keys are ignored, since V1 clients send some. Both spellings of a name are accepted everywhere. Errors name
the field and never repeat the value: it may be a card number.
"""

from chalicelib.api.schemas.admin import ChannelBody, ChannelChangeBody, EntryBody, GroupBody, SettingsBody
from chalicelib.api.schemas.billing import IssueKey, Schedule, ScheduleEntry, Unschedule
from chalicelib.api.schemas.charges import Again, ChargeFields, Onetime
from chalicelib.api.schemas.fields import parse
from chalicelib.api.schemas.payments import CancelPayment, GetToken

__all__ = [
    "Again",
    "CancelPayment",
    "ChannelBody",
    "ChannelChangeBody",
    "ChargeFields",
    "EntryBody",
    "GetToken",
    "GroupBody",
    "IssueKey",
    "Onetime",
    "Schedule",
    "ScheduleEntry",
    "SettingsBody",
    "Unschedule",
    "parse",
]
