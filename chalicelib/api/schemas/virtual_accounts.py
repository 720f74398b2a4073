"""Virtual accounts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from chalicelib.api.schemas.charges import OrderFields, TargetFields
from chalicelib.api.schemas.fields import NULL, Flag, OptionalNumber, Text16, Text20, Text40, Whole, Wire, documented
from chalicelib.domain.charging import Buyer, VirtualAccountRequest
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.institutions import BANKS

FURTHEST_DUE = 2 * 366 * 86400
"""Two years: catches milliseconds sent for seconds. What a gateway allows is for its spec to say."""

FixedKey = Annotated[
    Annotated[str, Field(pattern=r"^[!-~]{1,13}$")] | None, BeforeValidator(lambda value: value or None)
]
OptionalWhole = Annotated[
    Whole | None,
    BeforeValidator(lambda value: None if value == "" else value),
    documented({"type": "integer"}, {"type": "string", "pattern": "^[0-9]{0,16}$"}, NULL),
]


class IssueVirtualAccount(OrderFields, TargetFields):
    vbank_code: str = Field(
        max_length=3, description="은행 코드 3자리 (GET /banks) / Three-digit bank code, see GET /banks"
    )
    vbank_due: Whole
    vbank_holder: Text16 = Field(
        None,
        description="예금주. 토스페이먼츠는 고객사명을 사용합니다. / Holder; Toss shows the contract's name instead",
    )
    vbank_key: FixedKey = Field(
        None, description="고정식 가상계좌의 고객별 키 / Names the buyer's own account, which is issued again each time"
    )
    vbank_num: Text20 = Field(None, description="지원하지 않습니다. / Not supported: no gateway here takes it")
    escrow_password: Text40 = Field(None, description="지원하지 않습니다. / Not supported")
    fixed_unlimited_vbank: Flag = Field(None, description="지원하지 않습니다. / Not supported")
    business_registration_number: Annotated[str, Field(max_length=12)] | None = Field(
        None, description="사용하지 않습니다. / Not used: it is for escrow"
    )

    def buyer(self) -> Buyer:
        """Toss will not do without a name; older clients send no other than the holder's."""
        return replace(super().buyer(), name=self.buyer_name or self.vbank_holder)

    def account(self, now: datetime) -> VirtualAccountRequest:
        self._refuse_what_nobody_does()
        if self.vbank_code not in BANKS:
            raise InvalidRequest(
                "vbank_code", "vbank_code: 은행 코드 3자리여야 합니다. GET /banks를 참고해 주세요. (unknown bank code)"
            )
        return VirtualAccountRequest(
            bank_code=self.vbank_code,
            due_at=due_at(self.vbank_due, now),
            holder=self.vbank_holder,
            fixed_key=self.vbank_key,
        )

    def _refuse_what_nobody_does(self) -> None:
        """Each of these changes what the buyer gets, so that none may be dropped in silence."""
        asked = {
            "vbank_num": self.vbank_num,
            "escrow_password": self.escrow_password,
            "fixed_unlimited_vbank": self.fixed_unlimited_vbank,
        }
        for field, value in asked.items():
            if value:
                raise InvalidRequest(field, f"{field}: 지원하는 PG사가 없습니다. (no gateway here supports it)")


class ChangeVirtualAccount(Wire):
    amount: OptionalNumber = None
    vbank_due: OptionalWhole = None


def due_at(seconds: int, now: datetime) -> datetime:
    if seconds > now.timestamp() + FURTHEST_DUE:
        raise InvalidRequest(
            "vbank_due",
            "vbank_due: 초 단위 Unix 시각이어야 합니다. 너무 먼 미래이거나 밀리초입니다. (too far, or milliseconds)",
        )
    if seconds <= now.timestamp():
        raise InvalidRequest("vbank_due", "vbank_due: 입금기한은 미래여야 합니다. (must be in the future)")
    return datetime.fromtimestamp(seconds, UTC)
