"""Admin API: what a person says about what the service could not settle by itself."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from chalicelib.api.schemas.admin import Strict
from chalicelib.api.schemas.fields import Whole

Kind = Literal["payment", "webhook", "cash_receipt"]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    return text.strip()


Reason = Annotated[
    str,
    Field(min_length=1, max_length=500, description="사유. 기록에 남습니다. / Why; it is kept on record"),
    AfterValidator(_not_blank),
]
Tid = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]


class AlarmQuery(Strict):
    kind: Annotated[Kind | None, Field(description="이 종류만 / only this kind")] = None
    limit: Annotated[Whole, Field(ge=1, le=100, description="종류마다 받을 건수 / entries of each kind")] = 20
    cursor: Annotated[
        str | None,
        Field(max_length=200, description="앞 응답의 cursor. kind가 필요합니다. / of the answer before; needs kind"),
    ] = None


class SettlePayment(Strict):
    outcome: Annotated[
        Literal["paid", "failed"], Field(description="PG사에서 확인한 결과 / What the gateway's books say")
    ]
    pg_tid: Annotated[
        Tid | None, Field(description="PG 거래 번호. paid면 필수 / The gateway's id; required for paid")
    ] = None
    approved_at: Annotated[
        int | None,
        Field(ge=0, le=4_102_444_800, strict=True, description="승인 시각 (Unix 초) / Approved at (unix seconds)"),
    ] = None
    reason: Reason

    def approved(self) -> datetime | None:
        return None if self.approved_at is None else datetime.fromtimestamp(self.approved_at, UTC)


class SettleCancel(Strict):
    outcome: Annotated[
        Literal["done", "failed"], Field(description="PG사에서 확인한 결과 / What the gateway's books say")
    ]
    pg_tid: Annotated[Tid | None, Field(description="취소의 PG 거래 번호 / The gateway's id of the cancel")] = None
    reason: Reason


class SettleReceipt(Strict):
    outcome: Annotated[
        Literal["issued", "not_issued"], Field(description="PG사에서 확인한 결과 / What the gateway's books say")
    ]
    receipt_tid: Annotated[
        Tid | None, Field(description="PG의 현금영수증 번호. issued면 필수 / The gateway's id; required for issued")
    ] = None
    apply_num: Annotated[str | None, Field(min_length=1, max_length=50)] = None
    reason: Reason


class Acknowledge(Strict):
    reason: Reason
