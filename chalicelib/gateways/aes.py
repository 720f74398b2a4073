"""AES as Korean gateways prescribe it: a mask (IV) that is the same every time, or none, and no check of what arrives.

It hides a text and not that two texts are equal or begin alike; what keeps the whole thing safe is TLS around it.
"""

import base64
from typing import Any


def encrypt(text: str, key: str, iv: bytes | None) -> bytes:
    """CBC under the key's own bytes (16 or 32), PKCS7-padded; without an iv ECB."""
    from cryptography.hazmat.primitives import padding  # noqa: PLC0415 - a cold start need not load it

    pad = padding.PKCS7(128).padder()
    encryptor = _cipher(key, iv).encryptor()
    return bytes(encryptor.update(pad.update(text.encode()) + pad.finalize()) + encryptor.finalize())


def encrypt_base64(text: str, key: str, iv: bytes | None) -> str:
    return base64.b64encode(encrypt(text, key, iv)).decode()


def decrypt_base64(text: str, key: str, iv: bytes | None) -> str | None:
    """None for what was not encrypted under this key, or is no base64."""
    from cryptography.hazmat.primitives import padding  # noqa: PLC0415 - a cold start need not load it

    try:
        decryptor, unpad = _cipher(key, iv).decryptor(), padding.PKCS7(128).unpadder()
        padded = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        return bytes(unpad.update(padded) + unpad.finalize()).decode()
    except ValueError:  # UnicodeDecodeError and binascii.Error are ValueErrors
        return None


def _cipher(key: str, iv: bytes | None) -> Any:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    mode = modes.ECB() if iv is None else modes.CBC(iv)  # noqa: S305 - as the gateway prescribes
    return Cipher(algorithms.AES(key.encode()), mode)
