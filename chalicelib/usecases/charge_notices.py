"""What a gateway tells of a charge by itself: that its review has ended, or that somebody took the money back.

For gateways that decide later (`Pending`), or that can be asked by a number only, which a lost reply did not tell:
there the notice is the only way to learn it. It is never believed; it says what to ask for, and the gateway is asked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chalicelib.domain.charging import ChargeNotice
from chalicelib.domain.errors import NotFound, Unavailable
from chalicelib.domain.merchants import Routing
from chalicelib.domain.payments import Payment, State, imp_uid_of
from chalicelib.ports import Conflict, Deps, Ref, UnsupportedOperation
from chalicelib.usecases import settling
from chalicelib.usecases.recording import alarm
from chalicelib.usecases.vault import open_gateway

NOT_OURS = "해당하는 결제가 없습니다. (no such payment)"
NOT_NOW = "지금은 확인할 수 없습니다. 잠시 후 다시 보내 주세요. (cannot be verified now, send it again)"


def charge_notice(deps: Deps, merchant_id: str, channel_key: str, fields: Mapping[str, Any]) -> None:
    """Look at the payment that a notice is about.

    Raises InvalidRequest and NotFound for what is not a notice to us, and Unavailable where the gateway shall send it
    again.
    """
    routing = deps.store.load(Ref(Routing, (merchant_id,)))
    if routing is None:
        raise NotFound(NOT_OURS)
    try:
        notice = open_gateway(deps, routing, channel_key).read_charge_notice(fields)
    except UnsupportedOperation:
        raise NotFound(NOT_OURS) from None
    payment = _noticed(deps, merchant_id, channel_key, notice)
    if payment.state is State.OPENED:  # in a window: nothing was asked of the gateway yet
        return
    told = (payment.attempt.order_id, payment.gateway_ref) == (notice.order_id, notice.gateway_ref)
    if payment.state is State.PAID and told and not notice.taken_back:
        return
    if payment.is_held(deps.clock.now()) or payment.open_cancel:
        # Somebody is at work on it. An open cancel the timer looks at: two who look could send it again twice.
        raise Unavailable(NOT_NOW)
    try:
        _act_on(deps, routing, payment, notice)
    except Conflict:
        raise Unavailable(NOT_NOW) from None


def _act_on(deps: Deps, routing: Routing, payment: Payment, notice: ChargeNotice) -> None:
    says = f"{notice.order_id}: the gateway reports {notice.gateway_ref}"
    if payment.attempt.order_id != notice.order_id:
        # An earlier try was called "not charged" before the next one was sent. Nobody else would see this money.
        _call_person(deps, payment, f"{says} for a try that was given up")
        return
    is_another = payment.gateway_ref not in (None, notice.gateway_ref)
    if payment.state is not State.PAID or notice.taken_back:
        settling.look(deps, routing, replace(payment, gateway_ref=payment.gateway_ref or notice.gateway_ref))
    if not (is_another or notice.taken_back):
        return
    looked = deps.store.load(Ref(Payment, (payment.merchant_id, payment.imp_uid))) or payment
    if is_another:
        _call_person(deps, looked, f"{says} beside {payment.gateway_ref}: was it charged twice?")
    elif looked.v1_status == "paid" and looked.alarm is None:
        # Its books need not show everything that it tells: that a bank took the money back, for one.
        _call_person(deps, looked, f"{says} as taken back, and its books do not show it")


def _call_person(deps: Deps, payment: Payment, text: str) -> None:
    """Kept with the payment, so that it stands in the list of what waits for a person; told once, however often.

    Raises Unavailable while the payment is unsettled: its end takes alarms away, and this one has to stand after it.
    """
    if text not in (known := payment.alarm or ""):
        deps.store.commit(replace(payment, alarm=f"{known}; {text}" if known else text))
        alarm(text, payment)
    if payment.is_unsettled:
        raise Unavailable(NOT_NOW)


def _noticed(deps: Deps, merchant_id: str, channel_key: str, notice: ChargeNotice) -> Payment:
    imp_uid = imp_uid_of(notice.order_id)
    payment = deps.store.load(Ref(Payment, (merchant_id, imp_uid))) if imp_uid else None
    ours = {(attempt.order_id, attempt.channel_key) for attempt in payment.attempts} if payment else set()
    if payment is None or (notice.order_id, channel_key) not in ours:
        raise NotFound(NOT_OURS)
    return payment
