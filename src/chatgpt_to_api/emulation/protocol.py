"""The words of the prompted tool protocol: what the prompt teaches is what the reply is read by."""

from __future__ import annotations

from typing import Final

CALL: Final = "tool_call"
"""Tag around one call: ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``. Open models were
trained on it, and the others have seen it often."""

RESULT: Final = "tool_response"
"""Tag around what a call gave back."""
