"""Envelope encryption: KMS keeps the master key, every merchant has a data key, AES-GCM seals under it.

A sealed text carries no key id: the data key stands beside it. The context (merchant, channel, ...) is authenticated
with the text, so that a value copied to another place in the table does not open there.
"""

import base64
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.ports import StoreUnavailable

_NONCE_BYTES = 12


class KmsSealer:
    """ports.Sealer. Opened data keys stay in memory for the life of the process: one KMS call per merchant.

    make_client: called at the first use, since a warm process or a sweep never needs KMS.
    """

    def __init__(self, make_client: Callable[[], Any], key_id: str) -> None:
        self._make_client = make_client
        self._key_id = key_id
        self._client: Any = None
        self._opened: dict[str, Any] = {}

    def new_data_key(self, merchant_id: str) -> str:
        reply = self._call(
            "generate_data_key",
            KeyId=self._key_id,
            KeySpec="AES_256",
            EncryptionContext={"merchant": merchant_id},
        )
        encrypted = f"{merchant_id}:{base64.b64encode(reply['CiphertextBlob']).decode()}"
        self._opened[encrypted] = self._cipher(reply["Plaintext"])
        return encrypted

    def seal(self, data_key: str, context: tuple[str, ...], plain: Mapping[str, str]) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps(plain).encode()
        sealed = self._aead(data_key).encrypt(nonce, text, _associated(context))
        return base64.b64encode(nonce + sealed).decode()

    def open(self, data_key: str, context: tuple[str, ...], sealed: str) -> dict[str, str]:
        raw = base64.b64decode(sealed)
        text = self._aead(data_key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _associated(context))
        plain: dict[str, str] = json.loads(text)
        return plain

    def _aead(self, data_key: str) -> Any:
        if data_key not in self._opened:
            merchant_id, _, blob = data_key.partition(":")
            reply = self._call(
                "decrypt",
                KeyId=self._key_id,
                CiphertextBlob=base64.b64decode(blob),
                EncryptionContext={"merchant": merchant_id},
            )
            self._opened[data_key] = self._cipher(reply["Plaintext"])
        return self._opened[data_key]

    def _call(self, operation: str, **arguments: Any) -> Any:
        if self._client is None:
            self._client = self._make_client()
        try:
            return getattr(self._client, operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailable(f"KMS {operation}: {error}") from error

    @staticmethod
    def _cipher(key: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - a sweep never needs it

        return AESGCM(key)


def _associated(context: tuple[str, ...]) -> bytes:
    return json.dumps(context).encode()
