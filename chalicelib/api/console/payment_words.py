"""What states, outcomes and alarms mean, in both languages, and what an operator can do about them.

A `Text` is (Korean, English), for `visit.say`. docs/operations.md tells the same at length.
"""

from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain.payments import CancelState, Payment, State

Text = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Status:
    """tone: of its badge: good, bad, wait, or nothing."""

    text: Text
    tone: str = ""


STATES: dict[State, Status] = {
    State.OPENED: Status(("결제창 열림", "In its window"), "wait"),
    State.CLAIMED: Status(("처리 중", "Under way"), "wait"),
    State.UNKNOWN: Status(("결과 확인 중", "Being confirmed"), "wait"),
    State.UNDOING: Status(("승인 되돌리는 중", "Being undone"), "wait"),
    State.WAITING: Status(("입금 대기", "Awaiting deposit"), "wait"),
    State.REVOKING: Status(("가상계좌 말소 중", "Account being closed"), "wait"),
    State.PAID: Status(("결제 완료", "Paid"), "good"),
    State.FAILED: Status(("실패", "Failed"), "bad"),
    State.REVOKED: Status(("가상계좌 말소", "Account closed")),
}
FULLY_CANCELLED = Status(("전액 취소", "Cancelled"))
PARTLY_CANCELLED = Status(("부분 취소", "Partly cancelled"))
CANCEL_OPEN = Status(("취소 확인 중", "Cancel being confirmed"), "wait")

TABS: dict[str, Text] = {
    "all": ("전체", "All"),
    "paid": ("결제 완료", "Paid"),
    "cancelled": ("취소", "Cancelled"),
    "failed": ("실패", "Failed"),
    "ready": ("대기·확인 중", "Open"),
}

OUTCOMES: dict[str | None, Status] = {
    None: Status(("진행 중", "under way"), "wait"),
    "approved": Status(("승인", "approved"), "good"),
    "issued": Status(("가상계좌 발급", "account issued"), "good"),
    "declined": Status(("거절", "declined"), "bad"),
    "not_sent": Status(("전송되지 않음", "not sent"), "bad"),
    "unknown": Status(("응답 없음 · 결과 미확인", "no clear answer"), "wait"),
    "pending": Status(("PG사 심사 중", "under review"), "wait"),
    "undone": Status(("승인 되돌림 (망취소)", "undone")),
    "given_back": Status(("늦은 승인을 취소함", "approved too late, given back")),
    "by_hand": Status(("수동으로 실패 처리", "settled by hand as failed"), "bad"),
    "left": Status(("결제창에서 나감", "left the window")),
}

CANCELS: dict[CancelState, Status] = {
    CancelState.CLAIMED: Status(("처리 중", "under way"), "wait"),
    CancelState.UNKNOWN: Status(("결과 확인 중", "being confirmed"), "wait"),
    CancelState.DONE: Status(("취소 완료", "done"), "good"),
    CancelState.FAILED: Status(("취소 실패", "refused"), "bad"),
}

NOTICES: dict[str, Status] = {
    "pending": Status(("전송 대기", "to be sent"), "wait"),
    "delivered": Status(("전달됨", "delivered"), "good"),
    "dead": Status(("전달 포기", "given up"), "bad"),
    "noted": Status(("전달 포기 · 확인함", "given up, noted")),
    "superseded": Status(("보내지 않음 (다음 웹훅으로 대체)", "superseded by a later one")),
}

V1_STATUS: dict[str, Text] = {
    "ready": ("대기", "ready"),
    "paid": ("결제 완료", "paid"),
    "failed": ("실패", "failed"),
    "cancelled": ("취소", "cancelled"),
}

METHODS: dict[str, Text] = {
    "card": ("카드", "card"),
    "trans": ("계좌이체", "bank transfer"),
    "vbank": ("가상계좌", "virtual account"),
    "phone": ("휴대폰", "phone bill"),
    "paypal": ("페이팔", "PayPal"),
}

MODES: dict[str, Text] = {
    "weighted": ("비율에 따라 추첨", "drawn by weight"),
    "standby": ("0 % 채널 중에서 추첨", "drawn among the channels at 0 %"),
    "pinned": ("요청이 채널을 지정", "the request named the channel"),
    "direct": ("채널 그룹 없이 바로", "straight, without a group"),
}

ACTIONS: dict[str, Text] = {
    "payment.cancel_requested": ("취소 요청", "asked for a cancel"),
    "account.revoke_requested": ("가상계좌 말소 요청", "asked for the account to be closed"),
    "payment.checked": ("PG사 조회", "had the gateway asked"),
    "payment.settled": ("결제 결과 확정", "settled the payment"),
    "cancel.settled": ("취소 결과 확정", "settled a cancel"),
    "alarm.acknowledged": ("알림 확인", "took note of the alarm"),
    "webhook.resent": ("웹훅 재전송", "had a webhook sent again"),
    "webhook.noted": ("웹훅 포기 확인", "took note of a given-up webhook"),
    "cash_receipt.settled": ("현금영수증 결과 확정", "settled the cash receipt"),
    "billing_key.deleted": ("빌링키 삭제", "deleted the billing key"),
}


def status_of(payment: Payment) -> Status:
    if payment.state is not State.PAID or not payment.cancelled_amount.amount:
        return STATES[payment.state]
    return PARTLY_CANCELLED if payment.balance.amount else FULLY_CANCELLED


# --- what happens next --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Next:
    """at: when; None = nobody but a person moves it, or it is not known."""

    text: Text
    at: datetime | None = None


_ASKED: Text = ("PG사에 다시 조회합니다.", "The gateway is asked again.")
_BY_STATE: dict[State, Text] = {
    State.OPENED: (
        "그때까지 구매자가 돌아오지 않으면 실패로 끝납니다. 승인된 금액은 없습니다.",
        "If the buyer has not come back by then, it ends as failed. No money has moved.",
    ),
    State.CLAIMED: (
        "처리 중입니다. 그때까지 끝나지 않으면 PG사에 조회합니다.",
        "Somebody is at it. If it has not ended by then, the gateway is asked.",
    ),
    State.UNKNOWN: _ASKED,
    State.UNDOING: (
        "승인을 되돌리는 중입니다. 다시 시도하고 확인합니다.",
        "An approval is being undone: it is tried and checked again.",
    ),
    State.WAITING: (
        "입금되었는지 PG사에 조회합니다. 입금 통지가 오면 바로 확인합니다.",
        "The gateway is asked whether it was paid in; at once if the gateway sends a notice.",
    ),
    State.REVOKING: (
        "가상계좌가 말소되었는지 PG사에 조회합니다.",
        "The gateway is asked whether the account is closed.",
    ),
}


def next_step(payment: Payment) -> Next | None:
    """What the service does next by itself, or that it does nothing more; None where nothing is open."""
    due = payment.due_at
    if payment.open_cancel:
        text = (
            "취소 결과를 PG사에 조회합니다. 다시 취소하지 마세요.",
            "The gateway is asked what became of the cancel. Do not cancel again.",
        )
        return Next(text, due) if due else Next(_ONLY_A_PERSON)
    if payment.awaits_void:
        text = ("카드 확인용 결제이므로 자동으로 취소합니다.", "A test charge: it is given back by itself.")
        return Next(text, due) if due else Next(_ONLY_A_PERSON)
    if payment.state in _BY_STATE:
        return Next(_BY_STATE[payment.state], due) if due else Next(_ONLY_A_PERSON)
    if payment.awaits_comparison:
        text = (
            "수동으로 확정한 내용을 PG사의 장부와 비교합니다. 그때까지 취소할 수 없습니다.",
            "What was settled by hand is compared with the gateway's books. Until then it takes no cancel.",
        )
        return Next(text, due)
    if due is not None:
        text = (
            "늦게 승인되지 않았는지 PG사에 한 번 더 조회합니다.",
            "The gateway is asked once more for a late approval.",
        )
        return Next(text, due)
    return None


_ONLY_A_PERSON: Text = (
    "더 이상 자동으로 조회하지 않습니다. PG사 관리자 화면에서 확인한 뒤 결과를 확정해 주세요.",
    "Nothing looks at it any more. Look at the gateway's console, then settle it here.",
)

# --- what alarms mean ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advice:
    """marks: an alarm that has one of these in it is meant. what: happened. todo: what to do about it."""

    marks: tuple[str, ...]
    what: Text
    todo: Text


ADVICE: tuple[Advice, ...] = (
    Advice(
        ("keeps the account open", "account is still open"),
        (
            "입금기한이 지났는데 PG사의 계좌가 아직 열려 있습니다.",
            "The account is still open at the gateway beyond its due time.",
        ),
        (
            "[가상계좌 말소]를 누르거나 PG사에 말소를 요청해 주세요. 그대로 두어도 됩니다.",
            "Close the account here or at the gateway, or let it wait.",
        ),
    ),
    Advice(
        ("could not be undone in time",),
        (
            "결과를 알 수 없어 되돌리는 중이었는데, 되돌릴 수 있는 시간이 지나고 PG사가 답하지 않습니다.",
            "It was being undone when the time for that ended, and the gateway does not answer.",
        ),
        (
            (
                "PG사 관리자 화면을 확인해 주세요. 승인되어 있으면 그곳에서 취소한 뒤 실패로 확정합니다. "
                "조회는 계속되며, 승인이 확인되면 취소합니다."
            ),
            (
                "Look at the gateway's console. If it is approved, cancel it there, then settle it as failed. "
                "It goes on being asked, and what is approved goes back."
            ),
        ),
    ),
    Advice(
        ("no clear answer: the gateway's balance differs",),
        (
            "취소 결과를 확인하는 동안 PG사의 잔액이 달라졌습니다. 누군가 PG사 관리자 화면에서 취소한 것으로 보입니다.",
            "Somebody cancelled at the gateway's console while a cancel of ours had no answer.",
        ),
        (
            "PG사 관리자 화면에서 우리 취소가 처리되었는지 확인하고 취소 결과를 확정해 주세요.",
            "See at the console whether our cancel worked, and settle the cancel.",
        ),
    ),
    Advice(
        ("no clear answer",),
        (
            "PG사가 여러 번의 조회에 답하지 않았습니다. 한 시간마다 조회하며, 답이 오면 저절로 확정됩니다.",
            "The gateway has not answered several questions. It is asked every hour and settles by itself.",
        ),
        (
            "급하면 PG사 관리자 화면을 확인하고 결과를 확정해 주세요. 이미 실패로 확정된 결제라면 확인만 하면 됩니다.",
            "If it cannot wait, look at the gateway's console and settle it. If it has failed already, take note.",
        ),
    ),
    Advice(
        ("cannot be asked what became of a cancel",),
        (
            "취소의 응답을 받지 못했고, 이 PG사에는 조회할 수 없습니다.",
            "The reply to a cancel was lost, and this gateway cannot be asked.",
        ),
        (
            "PG사 관리자 화면에서 취소되었는지 확인하고 취소 결과를 확정해 주세요.",
            "Look at the gateway's console, and settle the cancel.",
        ),
    ),
    Advice(
        ("cannot be asked what became of",),
        (
            "결제의 응답을 받지 못했고, 이 PG사에는 조회할 수 없습니다 (또는 조회 기간이 지났습니다).",
            "The reply to the charge was lost, and this gateway cannot be asked, or not any more.",
        ),
        (
            "PG사 관리자 화면에서 주문번호(order id)로 찾아 결과를 확정해 주세요. 자동으로는 더 조회하지 않습니다.",
            "Find its order id at the gateway's console, and settle the payment. Nothing looks at it any more.",
        ),
    ),
    Advice(
        ("not decided by",),
        (
            "PG사가 며칠째 심사하고 있습니다. 한 시간마다 조회하며, 결정되면 저절로 확정됩니다.",
            "The gateway has been reviewing it for days. It is asked every hour and settles by itself.",
        ),
        (
            "PG사에 문의해 주세요. 다시 결제하지 마세요. 끝내야 한다면 PG사 관리자 화면에서 거절하거나 환불합니다.",
            "Ask the gateway; do not charge the buyer again. To end it, refuse or refund it at its console.",
        ),
    ),
    Advice(
        ("settled by hand as paid, and the gateway says otherwise",),
        (
            "수동으로 승인 처리했는데, PG사에는 그런 승인이 없습니다.",
            "It was settled by hand as paid, and the gateway knows no such approval.",
        ),
        (
            "결제되지 않았다고 가맹점에 알린 뒤 확인 처리해 주세요. 확인 처리하면 더 조회하지 않습니다.",
            "Tell the shop that nothing was paid, then take note; that ends the asking.",
        ),
    ),
    Advice(
        ("was it refunded at the gateway",),
        (
            "가상계좌 입금이 PG사에서 환불된 것으로 보입니다. 여기에는 아직 결제 완료로 남아 있습니다.",
            "The deposit seems to have been refunded at the gateway; here it still shows as paid.",
        ),
        (
            "가맹점에 알리고 확인 처리해 주세요. 다음부터는 여기에서 취소해 주세요.",
            "Tell the shop, take note, and refund from here next time.",
        ),
    ),
    Advice(
        ("balance differs from ours",),
        (
            "PG사의 잔액이 우리 기록과 다릅니다. PG사 관리자 화면에서 취소했거나 은행이 돈을 회수했습니다.",
            "The gateway's balance differs: somebody cancelled at its console, or the bank took the money back.",
        ),
        ("가맹점에 알리고 확인 처리해 주세요.", "Tell the shop; take note."),
    ),
    Advice(
        ("refuses to give it back",),
        (
            "되돌려야 하는 승인(다른 금액, 늦은 승인 등)을 PG사가 취소해 주지 않습니다. 한 시간마다 다시 시도합니다.",
            (
                "An approval that has to go back (another amount, late, a test charge) could not be voided. "
                "It is tried again every hour."
            ),
        ),
        (
            "PG사 관리자 화면에서 취소한 뒤 [PG사에 조회]를 눌러 주세요.",
            "Cancel it at the gateway's console, then have the gateway asked here.",
        ),
    ),
    Advice(
        ("after it was settled as failed",),
        (
            "실패로 확정된 뒤에 승인이 왔습니다. 원문에 voided가 있으면 이미 되돌려졌고, 없으면 되돌리는 중입니다.",
            (
                "An approval came after it was called failed. If the text says voided, the money has gone back; "
                "else it is going back."
            ),
        ),
        (
            "구매자가 문의하면 가맹점에 알려 주세요. 되돌려졌으면 확인 처리합니다.",
            "Tell the shop if the buyer asks. Take note once it has gone back.",
        ),
    ),
    Advice(
        ("refuses to revoke it",),
        (
            "입금되면 안 되는 가상계좌를 말소하지 못했습니다. 다시 시도합니다.",
            "A virtual account that must not be paid into could not be closed. It is tried again.",
        ),
        (
            "PG사 관리자 화면에서 말소한 뒤 [PG사에 조회]를 눌러 주세요.",
            "Close it at the gateway's console, then have the gateway asked here.",
        ),
    ),
    Advice(
        ("for a try that was given up", "was it charged twice"),
        (
            "이미 포기한 시도가 PG사에 승인으로 나타났습니다. 같은 주문이 두 번 결제되었을 수 있습니다.",
            "A try that had been given up appears at the gateway after all: the order may be charged twice.",
        ),
        (
            "PG사 관리자 화면에서 그 주문번호를 찾아 취소하고, 확인 처리해 주세요.",
            "Find that order id at the gateway's console, cancel it there, and take note.",
        ),
    ),
    Advice(
        ("as taken back",),
        (
            "PG사가 돈이 회수되었다고 통지했지만 조회에는 나타나지 않습니다.",
            "The gateway has notified us that the money was taken back, and its books do not show it.",
        ),
        (
            "PG사에 확인하고 가맹점에 알린 뒤 확인 처리해 주세요.",
            "Ask the gateway, tell the shop, and take note.",
        ),
    ),
    Advice(
        ("a deposit came after",),
        (
            "가상계좌가 만료되거나 말소된 뒤에 입금되었습니다. 주문은 다른 방법으로 결제되었을 수 있습니다.",
            "It was paid into after the account had expired or was closed. The order may be paid otherwise by now.",
        ),
        (
            "PG사 관리자 화면에서 환불하거나, 상품을 보내고 확인 처리해 주세요.",
            "Refund it at the gateway's console, or deliver; then take note.",
        ),
    ),
    Advice(
        ("another amount than asked for",),
        ("요청과 다른 금액이 입금되었습니다.", "Another amount was paid in than was asked for."),
        (
            "PG사 관리자 화면에서 환불해 주세요. 그러면 결제가 저절로 실패로 끝납니다.",
            "Refund it at the gateway's console; the payment then fails by itself.",
        ),
    ),
    Advice(
        ("the bank has taken the deposit back",),
        (
            "결제 완료로 알린 뒤에 은행이 입금을 취소했습니다.",
            "The bank has taken the deposit back after the shop was told that it is paid.",
        ),
        (
            "가맹점에 알리고, 발급된 현금영수증이 있으면 취소한 뒤 확인 처리해 주세요.",
            "Tell the shop, cancel a cash receipt that was issued for it, and take note.",
        ),
    ),
    Advice(
        ("cash receipt was",),
        (
            "현금영수증이 발급되는 동안 결제가 취소되었습니다.",
            "A cash receipt was issued while its payment went back.",
        ),
        (
            "현금영수증을 취소해 주세요 (DELETE /receipts/{imp_uid}). 그 뒤 확인 처리합니다.",
            "Cancel the cash receipt (DELETE /receipts/{imp_uid}), then take note.",
        ),
    ),
)
UNKNOWN_ALARM = Advice(
    (),
    ("서비스가 스스로 확정하지 못한 일이 있습니다.", "Something that the service could not settle by itself."),
    (
        "아래 원문과 진행 내역을 보고 PG사 관리자 화면에서 확인해 주세요.",
        "Read the text and the timeline, and look at the gateway's console.",
    ),
)


def advice(alarm: str) -> Advice:
    return next((known for known in ADVICE if any(mark in alarm for mark in known.marks)), UNKNOWN_ALARM)
