"""What a person does that a merchant's server does too, and that then leaves no name: with an entry that says who.

The entry is stored before anything happens. Whoever dies in between leaves on record what was meant; what came of it
the payment itself says. What is sure to be refused is refused before, and leaves nothing.
"""

from datetime import timedelta

from chalicelib.domain.accounts import Operator
from chalicelib.domain.cancels import claim_cancel
from chalicelib.domain.charging import RefundAccount
from chalicelib.domain.errors import Refused
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.money import parse_money
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Cancellation, CancelState, Payment, State
from chalicelib.ports import Deps
from chalicelib.usecases import billing_keys, by_hand, cancels, lookups, virtual_accounts
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.merchants import audit_entry
from chalicelib.usecases.vault import channel_of

BALANCE_CHANGED = (
    "그사이 취소 가능한 잔액이 바뀌었습니다. 아래 내용을 다시 확인해 주세요. "
    "(what is left has changed meanwhile: look at it again)"
)


def check_cancel(deps: Deps, merchant_id: str, wanted: cancels.Cancel) -> Payment:
    """The payment, if nothing on our side stands against this cancel. Raises NotFound, InvalidRequest, Refused."""
    payment = lookups.by_imp_uid(deps, merchant_id, wanted.imp_uid or "")
    currency = payment.request.amount.currency
    amount = parse_money(wanted.amount, currency, minimum=1) if wanted.amount is not None else payment.balance
    claim = Cancellation("", amount, "", CancelState.CLAIMED, deps.clock.now())
    if wanted.checksum is not None and payment.balance.amount and payment.open_cancel is None:
        seen = parse_money(wanted.checksum, currency, "checksum")
        if seen != payment.balance:
            raise Refused(BALANCE_CHANGED, field="checksum")
    claim_cancel(payment, claim, deps.clock.now())
    channel = channel_of(deps, load_routing(deps, merchant_id), payment.attempt.channel_key)
    cancels.check_part(deps.gateways.spec_of(channel), payment, amount)
    if payment.pay_method == VIRTUAL_ACCOUNT:
        cancels.check_refund_account(deps, payment, wanted.refund_to or RefundAccount())
    return payment


def cancel(deps: Deps, operator: Operator, wanted: cancels.Cancel) -> Payment:
    """As `cancels.cancel`. checksum is what the operator saw: of the same cancel sent twice, the second is refused."""
    payment = check_cancel(deps, operator.merchant_id, wanted)
    amount = payment.balance.to_decimal() if wanted.amount is None else wanted.amount
    before = {"state": payment.state.value, "balance": str(payment.balance.to_decimal())}
    after = {"amount": str(amount), "currency": payment.request.amount.currency, "reason": wanted.reason}
    deps.store.commit(audit_entry(deps, operator, payment.imp_uid, "payment.cancel_requested", before, after))
    return cancels.cancel(deps, operator.merchant_id, wanted)


def check(deps: Deps, operator: Operator, imp_uid: str) -> Payment:
    """As `by_hand.check`."""
    payment = lookups.by_imp_uid(deps, operator.merchant_id, imp_uid)
    by_hand.refuse_check(deps, payment)
    before = {"state": payment.state.value, "alarm": payment.alarm}
    deps.store.commit(audit_entry(deps, operator, imp_uid, "payment.checked", before, None))
    return by_hand.check(deps, operator.merchant_id, imp_uid)


def revoke(deps: Deps, operator: Operator, imp_uid: str, budget: timedelta | None = None) -> Payment:
    """As `virtual_accounts.revoke`."""
    payment = lookups.by_imp_uid(deps, operator.merchant_id, imp_uid)
    if payment.state is not State.WAITING:
        raise Refused(virtual_accounts.NOT_WAITING)
    before = {"state": payment.state.value}
    deps.store.commit(audit_entry(deps, operator, imp_uid, "account.revoke_requested", before, None))
    return virtual_accounts.revoke(deps, operator.merchant_id, imp_uid, budget)


def key_subject(customer_uid: str) -> str:
    """Of the audit entries about a billing key. A customer_uid may look like anything, so it does not stand alone."""
    return f"key:{customer_uid}"


def delete_key(deps: Deps, operator: Operator, customer_uid: str, reason: str) -> tuple[BillingKey, list[str]]:
    """As `billing_keys.delete`: the key, and the providers that did not confirm. Raises Refused for an unknown one."""
    key = billing_keys.find(deps, operator.merchant_id, customer_uid)
    before = {
        "customer_uid": customer_uid,
        "environment": key.environment.value,
        "group_id": key.group_id,
        "channels": list(key.channels),
    }
    entry = audit_entry(deps, operator, key_subject(customer_uid), "billing_key.deleted", before, {"reason": reason})
    deps.store.commit(entry)
    return billing_keys.delete(deps, operator.merchant_id, customer_uid)
