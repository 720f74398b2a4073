"""Names, numbers and addresses of buyers, so that they can be told apart and not be used."""

from dataclasses import dataclass

from chalicelib.domain.charging import Buyer


def name(text: str | None) -> str:
    """홍길동 -> 홍*동, 남궁민수 -> 남**수, Li -> L*."""
    text = (text or "").strip()
    if len(text) < 2:
        return "*" * len(text)
    last = text[-1] if len(text) > 2 else "*"
    return f"{text[0]}{'*' * (len(text) - 2)}{last}"


def tel(text: str | None) -> str:
    """010-1234-5678 -> 010-****-5678. What is too short for a number of a phone shows its last two digits."""
    text = (text or "").strip()
    digits = sum(char.isdigit() for char in text)
    before, after = (3, 4) if digits >= 9 else (0, 2 if digits > 3 else 0)
    shown, seen = [], 0
    for char in text:
        if char.isdigit():
            seen += 1
            shown.append(char if seen <= before or seen > digits - after else "*")
        else:
            shown.append(char if char in "+- ()" else "*")
    return "".join(shown)


def email(text: str | None) -> str:
    """gildong@gmail.com -> g***@gmail.com."""
    text = (text or "").strip()
    before, at, host = text.rpartition("@")
    return f"{before[:1]}***{at}{host}" if at else name(text)


def address(text: str | None) -> str:
    """The city and the district."""
    words = (text or "").split()
    return " ".join([*words[:2], "***"]) if len(words) > 2 else "***" if words else ""


@dataclass(frozen=True, slots=True)
class ShownBuyer:
    """As a page shows it; "" for what is not known."""

    name: str
    tel: str
    email: str
    address: str
    masked: bool


def shown_buyer(buyer: Buyer, *, masked: bool) -> ShownBuyer:
    if masked:
        return ShownBuyer(name(buyer.name), tel(buyer.tel), email(buyer.email), address(buyer.addr), masked=True)
    place = " ".join(part for part in (buyer.postcode, buyer.addr) if part)
    return ShownBuyer(buyer.name or "", buyer.tel or "", buyer.email or "", place, masked=False)
