"""What every adapter is made from: operations that a gateway does not have need no code."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from chalicelib.domain.charging import (
    ApproveResult,
    Card,
    ChargeNotice,
    ChargeQuery,
    ChargeResult,
    Declined,
    DeleteResult,
    DepositNotice,
    FindResult,
    IssueRequest,
    IssueResult,
    IssueVirtualAccountResult,
    NotSent,
    PaymentRequest,
    RevokeResult,
    Unknown,
    VirtualAccountRequest,
)
from chalicelib.domain.receipts import (
    CancelReceiptResult,
    CashReceiptCancel,
    CashReceiptRequest,
    FindReceiptResult,
    IssueReceiptResult,
)
from chalicelib.domain.specs import GatewaySpec
from chalicelib.domain.windows import Authenticated, ReturnResult, WindowOrder, WindowPage
from chalicelib.ports import UnsupportedOperation


class Base:
    """Refuses what its subclass does not override. The subclass's SPEC says so too, and nobody asks for it."""

    spec: GatewaySpec
    window_urls: Mapping[str, str] = MappingProxyType({})
    """Where a browser finds what the gateway serves, by the names of the module's WINDOW_URLS; no slash at the end."""

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:  # noqa: ARG002
        self._cannot("charges of typed-in cards")

    def charge_billing_key(
        self,
        order_id: str,  # noqa: ARG002
        request: PaymentRequest,  # noqa: ARG002
        secret: Mapping[str, str],  # noqa: ARG002
        timeout: float,  # noqa: ARG002
    ) -> ChargeResult:
        self._cannot("charges of billing keys")

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:  # noqa: ARG002
        self._cannot("query of a charge")

    def read_charge_notice(self, fields: Mapping[str, Any]) -> ChargeNotice:  # noqa: ARG002
        self._cannot("notices of charges")

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:  # noqa: ARG002
        self._cannot("billing keys by card data")

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:  # noqa: ARG002
        self._cannot("deletion of billing keys")

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

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:  # noqa: ARG002
        self._cannot("deposit notices")

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage | Declined | NotSent | Unknown:  # noqa: ARG002
        self._cannot("window")

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:  # noqa: ARG002
        self._cannot("window")

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:  # noqa: ARG002
        self._cannot("window")

    def _cannot(self, what: str) -> NoReturn:
        raise UnsupportedOperation(f"{self.spec.provider}: no {what}")
