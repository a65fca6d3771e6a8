"""Secrets at rest: AES-256-GCM under a key that is not in the database.

The key is either made from ``SECRET_KEY`` or read from ``secret.key`` in the data folder. Each
sealed value is bound to the place it belongs to (table, column, row), so a sealed value moved
elsewhere in the database does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chatgpt_to_api.store.errors import StoreError, WrongKey
from chatgpt_to_api.store.private_files import (
    create_private,
    make_private_folder,
    readable_by_others,
)
from chatgpt_to_api.wire.secret import Secret

KEY_FILE: Final = "secret.key"
MIN_SECRET_KEY: Final = 16
"""Fewest characters of SECRET_KEY."""

_FORM: Final = b"\x01"
_NONCE: Final = 12
_TAG: Final = 16


class Cipher:
    """Seals texts under one key. ``source`` names where the key came from, for error messages."""

    __slots__ = ("_aead", "_digest_key", "source")

    def __init__(self, key: bytes, source: str) -> None:
        self._aead = AESGCM(key)
        self._digest_key = hmac.digest(key, b"chatgpt-to-api digest", "sha256")
        self.source = source

    def seal(self, text: str, place: str) -> bytes:
        """Encrypt ``text`` for ``place``; only :meth:`unseal` with the same place opens it."""
        nonce = os.urandom(_NONCE)
        sealed = self._aead.encrypt(nonce, text.encode("utf-8", "surrogatepass"), place.encode())
        return _FORM + nonce + sealed

    def unseal(self, sealed: bytes, place: str) -> str:
        """Decrypt what :meth:`seal` gave. Raises WrongKey for another key or place."""
        if sealed[:1] != _FORM or len(sealed) < 1 + _NONCE + _TAG:
            raise WrongKey(f"The stored value at {place} is damaged.")
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._aead.decrypt(nonce, body, place.encode()).decode("utf-8", "surrogatepass")
        except InvalidTag:
            raise WrongKey(
                f"The stored value at {place} does not open with the key from {self.source}."
            ) from None

    def digest(self, text: str) -> str:
        """A keyed digest: it recognises an equal text and, without the key, tells nothing."""
        return hmac.digest(self._digest_key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def __repr__(self) -> str:
        return f"Cipher(key from {self.source})"


def load_cipher(data_dir: Path, secret_key: Secret | None, *, database: Path) -> Cipher:
    """Return the cipher of a data folder, making ``secret.key`` when the folder is new.

    ``secret_key`` is the value of SECRET_KEY, which wins over the file. ``database`` is the file
    the secrets are in: where it exists without any key, a new key could open nothing in it.
    Raises StoreError, naming the variable or the file.
    """
    if secret_key:
        return Cipher(_stretch(secret_key), "SECRET_KEY")
    path = data_dir / KEY_FILE
    try:
        if not path.exists():
            if database.exists():
                raise WrongKey(
                    f"{path} is missing and SECRET_KEY is not set, but {database.name} holds "
                    "secrets sealed with one of them. Put the file or the variable back, or move "
                    f"{database} away to start anew."
                )
            make_private_folder(data_dir)
            create_private(path, base64.b64encode(os.urandom(32)) + b"\n")
        text = path.read_bytes().strip()
    except OSError as error:
        raise StoreError(f"{path} cannot be read or made: {error.strerror}.") from error
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise WrongKey(
            f"{path} does not hold a key (32 bytes in base64). Restore it from a backup."
        )
    return Cipher(key, str(path))


def key_file_warning(data_dir: Path) -> str | None:
    """Say what is wrong with the key file's permissions, or None."""
    path = data_dir / KEY_FILE
    try:
        if readable_by_others(path):
            return f"{path} can be read by other accounts; run: chmod 600 {path}"
    except OSError:
        return None  # no such file: the key is SECRET_KEY's
    return None


def _stretch(secret_key: Secret) -> bytes:
    text = secret_key.reveal().strip()
    if len(text) < MIN_SECRET_KEY:
        raise StoreError(
            f"SECRET_KEY: expected at least {MIN_SECRET_KEY} characters, got {len(text)}."
        )
    # The salt is the same everywhere, so that the key depends on the variable alone and a second
    # process or host comes to the same key; the cost (16 MiB, ~50 ms) is paid once a start.
    return hashlib.scrypt(
        text.encode("utf-8", "surrogatepass"),
        salt=b"chatgpt-to-api SECRET_KEY v1",
        n=1 << 14,
        r=8,
        p=1,
        dklen=32,
    )
