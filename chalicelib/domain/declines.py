"""Why a gateway said no, in words that are the same for every gateway.

Each adapter maps its codes to this closed set and keeps the raw code and message beside it. A code that is not
mapped is not a decline: its outcome is unknown.
"""

from enum import StrEnum


class DeclineReason(StrEnum):
    INVALID_CARD_NUMBER = "invalid_card_number"
    EXPIRED_CARD = "expired_card"
    CARD_CHECK_FAILED = "card_check_failed"
    """Birth date, password digits or CVC do not match."""
    LOST_OR_STOLEN = "lost_or_stolen"
    CARD_BLOCKED = "card_blocked"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    TOO_MANY_TRIES = "too_many_tries"
    ISSUER_DECLINED = "issuer_declined"
    """The issuer said no without telling more."""
    FRAUD_SUSPECTED = "fraud_suspected"
    INSTALLMENT_NOT_ALLOWED = "installment_not_allowed"
    AMOUNT_NOT_ALLOWED = "amount_not_allowed"
    """Below the gateway's minimum, or above its own maximum."""
    CARD_NOT_SUPPORTED = "card_not_supported"
    """This gateway or this contract does not take that card."""
    GATEWAY_MAINTENANCE = "gateway_maintenance"
    CHANNEL_REJECTED = "channel_rejected"
    """Our credentials or contract are refused: a matter between merchant and gateway, never the buyer's card."""
    BILLING_KEY_INVALID = "billing_key_invalid"
    INVALID_REQUEST = "invalid_request"
    BUYER_CANCELLED = "buyer_cancelled"
    NOT_CHARGED = "not_charged"
    """The request never reached the gateway, or the gateway knows nothing of it after its settling delay."""

    @property
    def elsewhere(self) -> bool:
        """True for a soft decline: another gateway may well accept what this one refused."""
        return self in _ELSEWHERE


_ELSEWHERE = frozenset({
    DeclineReason.LIMIT_EXCEEDED,
    DeclineReason.ISSUER_DECLINED,
    DeclineReason.AMOUNT_NOT_ALLOWED,
    DeclineReason.CARD_NOT_SUPPORTED,
    DeclineReason.INSTALLMENT_NOT_ALLOWED,
    DeclineReason.GATEWAY_MAINTENANCE,
    DeclineReason.CHANNEL_REJECTED,
    DeclineReason.BILLING_KEY_INVALID,
    DeclineReason.NOT_CHARGED,
})  # fmt: skip
