"""Registering the amount of a payment before its window opens (V1 `prepare`). Charges by API do not look at it."""

from dataclasses import replace

from chalicelib.domain.errors import NotFound, Refused
from chalicelib.domain.prepared import Prepared
from chalicelib.ports import Conflict, Deps, Ref

UNKNOWN_PREPARED = "사전등록된 결제정보가 존재하지 않습니다."


def register(deps: Deps, wanted: Prepared) -> Prepared:
    """Registering the same again is fine; changing it takes `change`: a POST that was repeated, or came late, must not
    undo a change made since. Raises Refused.
    """
    try:
        deps.store.commit(wanted)
    except Conflict:
        stored = find(deps, wanted.merchant_id, wanted.merchant_uid)
        if replace(stored, version=0) != wanted:
            raise Refused(
                "이미 다른 값으로 사전등록된 주문번호입니다. 바꾸려면 PUT /payments/prepare를 사용해 주세요. "
                "(registered with other values; change them with PUT)",
                field="merchant_uid",
            ) from None
    return wanted


def change(deps: Deps, wanted: Prepared) -> Prepared:
    """Raises NotFound if nothing is registered yet, and Conflict."""
    stored = find(deps, wanted.merchant_id, wanted.merchant_uid)
    deps.store.commit(replace(wanted, version=stored.version))
    return wanted


def find(deps: Deps, merchant_id: str, merchant_uid: str) -> Prepared:
    prepared = deps.store.load(Ref(Prepared, (merchant_id, merchant_uid)))
    if prepared is None:
        raise NotFound(UNKNOWN_PREPARED)
    return prepared
