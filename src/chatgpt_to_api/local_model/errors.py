"""What can keep the embedded model from being there."""

from __future__ import annotations


class ModelUnavailable(Exception):
    """The embedded model cannot be fetched or started; the message says why and what to do."""
