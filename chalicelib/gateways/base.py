"""What every adapter is made from: operations that a gateway does not have need no code."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from chalicelib.domain.charging import (
    DepositNotice,
    FindResult,
    GatewaySpec,
    IssueVirtualAccountResult,
    PaymentRequest,
    RevokeResult,
    VirtualAccountRequest,
)
from chalicelib.domain.receipts import (
    CancelReceiptResult,
    CashReceiptCancel,
    CashReceiptRequest,
    FindReceiptResult,
    IssueReceiptResult,
)
from chalicelib.ports import UnsupportedOperation


class Base:
    """Refuses what its subclass does not override. The subclass's SPEC says so too, and nobody asks for it."""

    spec: GatewaySpec

    def find_charge(self, order_id: str, requested_at: datetime, currency: str, timeout: float) -> FindResult:  # noqa: ARG002
        self._cannot("query by order id")

    def issue_cash_receipt(self, request: CashReceiptRequest, timeout: float) -> IssueReceiptResult:  # noqa: ARG002
        self._cannot("cash receipts by API")

    def find_cash_receipt(
        self,
        order_id: str,  # noqa: ARG002
        since: datetime,  # noqa: ARG002
        until: datetime,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
    ) -> FindReceiptResult:
        self._cannot("query of a cash receipt by order id")

    def cancel_cash_receipt(self, request: CashReceiptCancel, timeout: float) -> CancelReceiptResult:  # noqa: ARG002
        self._cannot("cash receipts by API")

    def issue_virtual_account(
        self,
        order_id: str,  # noqa: ARG002
        request: PaymentRequest,  # noqa: ARG002
        account: VirtualAccountRequest,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
    ) -> IssueVirtualAccountResult:
        self._cannot("virtual accounts by API")

    def revoke_virtual_account(self, revoke_id: str, gateway_ref: str, timeout: float) -> RevokeResult:  # noqa: ARG002
        self._cannot("virtual accounts by API")

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice:  # noqa: ARG002
        self._cannot("deposit notices")

    def _cannot(self, what: str) -> NoReturn:
        raise UnsupportedOperation(f"{self.spec.provider}: no {what}")
