"""Access tokens as 40 hex characters that carry whose they are and when they were issued, signed.

20 bytes: 1 for which key signed, 7 for imp_key (16 digits), 4 for the issue time, 8 of HMAC-SHA256. Forty hex
characters is the form V1 clients know. Eight bytes of signature leave 2^64 guesses, to be made online, each for a
token of 30 minutes.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence

_MAC_BYTES = 8


class HmacSigner:
    """ports.TokenSigner. load_keys: called once, at the first use; oldest first, the last one signs."""

    def __init__(self, load_keys: Callable[[], Sequence[bytes]]) -> None:
        self._load_keys = load_keys
        self._loaded: Sequence[bytes] = ()

    def sign(self, imp_key: str, issued_at: int) -> str:
        keys = self._keys()
        number = len(keys) - 1
        head = bytes([number]) + int(imp_key).to_bytes(7) + issued_at.to_bytes(4)
        return (head + _mac(keys[number], head)).hex()

    def read(self, token: str) -> tuple[str, int] | None:
        raw = _decode(token)
        if raw is None:
            return None
        if raw[0] == len(self._keys()):  # signed with a key that was added since this process started
            self._loaded = self._load_keys()
        if raw[0] >= len(self._keys()):
            return None
        head, mac = raw[:12], raw[12:]
        if not hmac.compare_digest(mac, _mac(self._keys()[raw[0]], head)):
            return None
        return f"{int.from_bytes(head[1:8]):016d}", int.from_bytes(head[8:12])

    def _keys(self) -> Sequence[bytes]:
        if not self._loaded:
            self._loaded = self._load_keys()
        return self._loaded


def _decode(token: str) -> bytes | None:
    if len(token) != 40:
        return None
    try:
        return bytes.fromhex(token)
    except ValueError:
        return None


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.new(key, head, hashlib.sha256).digest()[:_MAC_BYTES]
