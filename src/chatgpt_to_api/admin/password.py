"""The admin password: given by ADMIN_PASSWORD, set by an admin, or made at the first start."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final, Self

import msgspec

from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import StoreError
from chatgpt_to_api.store.private_files import create_private
from chatgpt_to_api.wire.secret import MASK, Secret

PASSWORD_FILE: Final = "admin_password"  # noqa: S105 - a file's name
MIN_PASSWORD: Final = 8
"""Fewest characters of a password set by an admin."""

MAX_PASSWORD: Final = 256

_COST: Final = 1 << 14  # scrypt's n: 16 MiB and ~50 ms a try


class _Hashed(msgspec.Struct):
    salt: bytes
    hash: bytes


class AdminPassword:
    """Knows the right password without keeping one that was set: only its scrypt hash is stored.

    A password that proved right is remembered by a digest under a key of this process, so only the
    first use after a start costs the hash. ``made`` is the password if this start made it: it is to
    be shown once.
    """

    def __init__(self, override: Override, file: Path, given: Secret | None) -> None:
        self._override = override
        self._file = file
        self._key = secrets.token_bytes(32)
        self._known = self._digest(given.reveal().encode()) if given is not None else None
        self.made: Secret | None = None

    @classmethod
    async def load(cls, store: Store, data_dir: Path, variable: Secret | None) -> Self:
        """Find the password that holds: one set by an admin until ``variable`` changes, else
        ``variable``, else the one in the data folder's ``admin_password``, made now if need be.

        Raises StoreError if that file cannot be read or made.
        """
        override = await Override.load(store, "admin_password", variable or None)
        file = data_dir / PASSWORD_FILE
        if override.is_set:
            return cls(override, file, None)
        if variable:
            return cls(override, file, variable)
        made = Secret(secrets.token_urlsafe(18))
        try:
            new = await asyncio.to_thread(create_private, file, made.reveal().encode() + b"\n")
            text = (await asyncio.to_thread(file.read_bytes)).decode().strip()
        except (OSError, UnicodeError) as error:
            raise StoreError(f"{file} cannot be read or made: {error}.") from error
        if not text:
            raise StoreError(f"{file} is empty; write a password into it or remove it.")
        password = cls(override, file, Secret(text))
        if new:
            password.made = made
        return password

    def is_known(self, given: bytes) -> bool:
        """Whether ``given`` is the password, as far as that shows without hashing."""
        known = self._known or bytes(32)
        return hmac.compare_digest(self._digest(given), known) and self._known is not None

    async def matches(self, given: bytes) -> bool:
        """Whether ``given`` is the password; one that was set is hashed, off the event loop."""
        if self.is_known(given):
            return True
        if not self._override.is_set:
            return False
        stored = self._override.value
        assert stored is not None
        right = await asyncio.to_thread(_verify, stored, given)
        if right and self._override.value == stored:  # it may have been changed meanwhile
            self._known = self._digest(given)
        return right

    async def change(self, new: Secret) -> None:
        """Let ``new`` be the password from now on; it is on the disk when this returns.

        Raises InvalidRequest if it will not do.
        """
        if reason := _why_unfit(new.reveal()):
            raise InvalidRequest(
                f"password: {reason}. Nothing was changed.", param="password", code="invalid_value"
            )
        await self._override.set(await asyncio.to_thread(_hash, new.reveal().encode()))
        self._known = self._digest(new.reveal().encode())
        # The file would show a password that no longer holds.
        await asyncio.to_thread(self._file.unlink, missing_ok=True)

    def _digest(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")


def _why_unfit(text: str) -> str | None:
    if MASK in text:
        return "it is masked"
    if len(text) < MIN_PASSWORD:
        return f"expected at least {MIN_PASSWORD} characters, got {len(text)}"
    if len(text) > MAX_PASSWORD:
        return f"expected at most {MAX_PASSWORD} characters, got {len(text)}"
    if text != text.strip() or not text.isprintable():
        return "a header cannot hold control characters, nor blanks at the ends"
    return None


def _hash(password: bytes) -> Secret:
    salt = os.urandom(16)
    return Secret(msgspec.json.encode(_Hashed(salt, _scrypt(password, salt))).decode())


def _verify(stored: Secret, given: bytes) -> bool:
    hashed = msgspec.json.decode(stored.reveal(), type=_Hashed)
    return hmac.compare_digest(_scrypt(given, hashed.salt), hashed.hash)


def _scrypt(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=_COST, r=8, p=1, dklen=32)
