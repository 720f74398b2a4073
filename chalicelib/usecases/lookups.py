"""Finding payments. Reads that see every finished write: clients look up in their webhook handler."""

from collections.abc import Callable, Sequence
from datetime import datetime

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deps, Ref

UNKNOWN_PAYMENT = "존재하지 않는 결제정보입니다."

SORTINGS: dict[str, Callable[[Payment], datetime]] = {
    "started": lambda p: p.started_at,
    "paid": lambda p: p.paid_at or p.started_at,
    "updated": lambda p: p.updated_at,
}


def by_imp_uid(deps: Deps, merchant_id: str, imp_uid: str, *, include_sandbox: bool = True) -> Payment:
    payment = deps.store.load(Ref(Payment, (merchant_id, imp_uid)))
    if payment is None or not _visible(payment, include_sandbox=include_sandbox):
        raise NotFound(UNKNOWN_PAYMENT)
    return payment


def by_merchant_uid(
    deps: Deps, merchant_id: str, merchant_uid: str, *, include_sandbox: bool = True
) -> Sequence[Payment]:
    """All payments under one merchant_uid, newest first. Raises NotFound if there is none."""
    order = deps.store.load(Ref(Order, (merchant_id, merchant_uid)))
    refs = [Ref(Payment, (merchant_id, imp_uid)) for imp_uid in reversed(order.imp_uids)] if order else []
    found = [p for p in deps.store.load_many(refs) if p and _visible(p, include_sandbox=include_sandbox)]
    if not found:
        raise NotFound(UNKNOWN_PAYMENT)
    return found


def _visible(payment: Payment, *, include_sandbox: bool) -> bool:
    return include_sandbox or payment.environment is Environment.LIVE


def sort(payments: Sequence[Payment], sorting: str) -> list[Payment]:
    """V1's `sorting`: started, paid or updated; a minus in front means newest first."""
    key = SORTINGS.get(sorting.removeprefix("-"))
    if key is None:
        names = ", ".join(f"{sign}{name}" for name in SORTINGS for sign in ("", "-"))
        raise InvalidRequest("sorting", f"sorting: 다음 중 하나여야 합니다: {names} (one of these)")
    return sorted(payments, key=key, reverse=sorting.startswith("-"))
