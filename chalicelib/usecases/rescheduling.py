"""Reserved payments changed afterwards: moved to another second, reserved once more, or charged now.

Each stores the order on the condition that it is as it was read, and so does the dispatch that runs it at its second.
Whichever comes first holds; the other is told that it came too late.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import InvalidRequest, NotFound, TryAgain
from chalicelib.domain.orders import Order, Schedule
from chalicelib.domain.payments import Payment
from chalicelib.ports import Conflict, Deps
from chalicelib.usecases.charges import UNREGISTERED, load_key_to_charge, run
from chalicelib.usecases.recording import hand_over
from chalicelib.usecases.schedules import WRITE_TRIES, charge_of, executing, find, schedule_of, task_of


def move(deps: Deps, merchant_id: str, merchant_uid: str, schedule_at: datetime) -> Order:
    """Let a reserved payment run at another time, earlier or later (V1 `PUT schedule`).

    Raises NotFound, and InvalidRequest if it has run or was revoked.
    """

    def moved(order: Order) -> Schedule:
        if not order.is_reserved:
            raise InvalidRequest(
                "merchant_uid", "merchant_uid: 이미 실행되었거나 취소된 예약입니다. (already run or revoked)"
            )
        # Found, so its booking is finished: nothing ties it any more.
        return replace(schedule_of(order), schedule_at=schedule_at, due_at=schedule_at, booking_id=None)

    return _rewrite(deps, merchant_id, merchant_uid, moved)


def reschedule(deps: Deps, merchant_id: str, merchant_uid: str, schedule_at: datetime) -> Order:
    """Reserve a failed or revoked payment once more, under the same merchant_uid (V1 `reschedule`).

    Raises NotFound, InvalidRequest for any other, and Refused if the merchant_uid is worn out.
    """

    def renewed(order: Order) -> Schedule:
        _check_ended(order)
        return schedule_of(order).afresh(schedule_at, deps.clock.now())

    return _rewrite(deps, merchant_id, merchant_uid, renewed)


def retry(deps: Deps, merchant_id: str, merchant_uid: str, budget: timedelta | None = None) -> Payment:
    """Charge a failed or revoked payment now (V1 `retry`). Returns the payment, whatever state it reached.

    From its claim on it is a reserved payment like any other that runs: the schedule shows it, the merchant is told
    also of a failure, and if the process dies before it sent anything, the timer runs it. Raises like `reschedule`,
    NotFound also if the key is gone, and TryAgain if another was faster.
    """
    order = find(deps, merchant_id, merchant_uid)
    _check_ended(order)
    schedule = schedule_of(order)
    key, routing, known = load_key_to_charge(deps, merchant_id, schedule.customer_uid)
    if key is None or routing is None:
        raise NotFound(UNREGISTERED)
    charge = charge_of(deps, routing, known, key, schedule, budget or deps.timing.request_budget)
    fresh = replace(order, schedule=schedule.afresh(schedule.schedule_at, deps.clock.now()))
    return run(deps, charge, executing(deps, fresh, charge.seed))


def _check_ended(order: Order) -> None:
    """Raises InvalidRequest unless the reserved payment has failed or was revoked, and its merchant_uid is free."""
    if order.is_reserved:
        raise InvalidRequest("merchant_uid", "merchant_uid: 아직 실행되지 않은 예약입니다. (not yet run)")
    if order.is_open:
        raise InvalidRequest(
            "merchant_uid", "merchant_uid: 실행 중이거나 이미 승인된 예약입니다. (running or approved)"
        )
    order.check_free()


def _rewrite(deps: Deps, merchant_id: str, merchant_uid: str, change: Callable[[Order], Schedule]) -> Order:
    for _ in range(WRITE_TRIES):
        order = find(deps, merchant_id, merchant_uid)
        try:
            stored: Order = deps.store.commit(replace(order, schedule=change(order)))[0]
        except Conflict:
            continue  # what stands there now decides
        # A task that was handed over for the old time finds that it is not due, or already done.
        hand_over(deps, [task_of(stored)], deps.clock.now())
        return stored
    raise TryAgain("이 예약의 다른 요청이 처리 중입니다. 다시 시도해 주세요. (another request is under way)")
