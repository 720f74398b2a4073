"""Password hashes: Argon2id (RFC 9106), whose memory makes guessing dear to who has stolen the table.

64 MiB and three passes, RFC 9106's second recommended option: about half a second of what a Lambda of 1 GB has, which
serves one request at a time.
"""

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_SALT, _HASH = 16, 32  # bytes


class Argon2Passwords:
    """ports.Passwords. The parameters stand in each hash, so they may change: see needs_rehash."""

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65536, parallelism: int = 4) -> None:
        self._time_cost, self._memory_kib, self._parallelism = time_cost, memory_kib, parallelism
        self._made: PasswordHasher | None = None
        # Of no password: somebody would have to find one whose hash is all zeros.
        self._nobodys = "$".join(
            ("", "argon2id", "v=19", f"m={memory_kib},t={time_cost},p={parallelism}", _zeros(_SALT), _zeros(_HASH))
        )

    def hash(self, password: str) -> str:
        return self._hasher().hash(password)

    def verify(self, password_hash: str | None, password: str) -> bool:
        from argon2.exceptions import VerifyMismatchError  # noqa: PLC0415

        try:
            return self._hasher().verify(password_hash or self._nobodys, password)
        except VerifyMismatchError:
            return False

    def needs_rehash(self, password_hash: str) -> bool:
        return self._hasher().check_needs_rehash(password_hash)

    def _hasher(self) -> "PasswordHasher":
        """Loaded at its first use: of all requests, few need it."""
        from argon2 import PasswordHasher  # noqa: PLC0415

        if self._made is None:
            self._made = PasswordHasher(
                self._time_cost, self._memory_kib, self._parallelism, hash_len=_HASH, salt_len=_SALT
            )
        return self._made


def _zeros(length: int) -> str:
    """In the base64 of hashes, which has no padding."""
    return base64.b64encode(bytes(length)).decode().rstrip("=")
