"""What V1 offers and this service does not. Every such path has an answer that says so, after the token's check.

Clients are told the truth early: an HTTP 501 with the feature's name, or the contract's own "not found" where nothing
of the kind can exist here.
"""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api.endpoints import Answer, Call, View, v1
from chalicelib.domain.errors import NotApplicable, NotFound, NotSupported
from chalicelib.usecases import lookups

bp = Blueprint(__name__)

NOT_OFFERED = {
    "네이버페이 주문 관리 (Naver Pay orders)": (
        "GET /naver/product-orders/{product_order_id}",
        "GET /naver/reviews",
        "GET /payments/{imp_uid}/naver/{action}",
        "POST /payments/{imp_uid}/naver/{action}",
    ),
    "KCP 퀵페이 (KCP quick pay)": (
        "DELETE /kcpquick/members/{member_id}",
        "POST /kcpquick/members/{member_id}/fido/release",
        "POST /kcpquick/payment/money",
        "POST /kcpquick/payment/autopay",
        "POST /kcpquick/prepare/{merchant_uid}",
        "PUT /kcpquick/prepare/{merchant_uid}",
        "DELETE /kcpquick/autopay/{customer_uid}",
    ),
    "페이코 주문 상태 변경 (PAYCO order status)": ("POST /payco/orders/status/{imp_uid}",),
    "베네피아 포인트 (Benepia points)": ("POST /benepia/point", "POST /benepia/payment"),
    "본인인증 (identity certification)": (
        "DELETE /certifications/{imp_uid}",
        "POST /certifications/otp/request",
        "POST /certifications/otp/confirm/{imp_uid}",
    ),
    "에스크로 배송정보 (escrow delivery)": (
        "GET /escrows/logis/{imp_uid}",
        "POST /escrows/logis/{imp_uid}",
        "PUT /escrows/logis/{imp_uid}",
    ),
    "편의점 결제 (convenience store payment)": ("POST /cvs", "DELETE /cvs/{imp_uid}"),
    "하위 상점 영수증 (receipts of sub-merchants)": ("POST /partners/receipts/{imp_uid}",),
    "페이먼트월 배송등록 (Paymentwall delivery)": ("POST /paymentwall/delivery",),
    "예금주 조회 (account holder)": ("GET /vbanks/holder",),
}


def _refusing(feature: str) -> View:
    def refuse(call: Call) -> Answer:  # noqa: ARG001 - every view takes its call
        raise NotSupported(f"{feature}: 지원하지 않는 기능입니다. (not supported)")

    return refuse


for _feature, _routes in NOT_OFFERED.items():
    for _method, _path in (route.split(" ") for route in _routes):
        v1(bp, _method, _path)(_refusing(_feature))


@v1(bp, "GET", "/certifications/{imp_uid}")
def get_certification(call: Call) -> Answer:  # noqa: ARG001
    raise NotFound("인증결과가 존재하지 않습니다.")


@v1(bp, "GET", "/tiers/{tier_code}")
def get_tier(call: Call) -> Answer:  # noqa: ARG001
    raise NotFound(
        "등록되지 않은 하위 상점입니다. 이 서비스에는 하위 상점(Tier)이 없습니다. (no such tier: there are none)"
    )


@v1(bp, "GET", "/payments/{imp_uid}/balance")
def get_balance(call: Call) -> Answer:
    lookups.by_imp_uid(call.deps, call.merchant_id, call.path["imp_uid"])
    raise NotApplicable(
        "결제수단별 금액 상세는 PAYCO와 KCP 결제에서만 조회할 수 있습니다. (only for payments by PAYCO and KCP)"
    )
