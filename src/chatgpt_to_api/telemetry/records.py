"""One small record for each request, kept off the request path."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.usage import Usage

Outcome: TypeAlias = Literal["ok", "refused", "failed", "client_gone", "upstream_cut"]

RECENT: Final = 1000


class RequestRecord(msgspec.Struct, kw_only=True):
    """What one request was and how it ended. It never holds a secret or a body.

    ``seconds`` is from the accepted request to the reply's end; ``attempts`` counts upstream calls.
    """

    request_id: str
    door: str
    model: str
    client: str = ""
    upstream: str = ""
    credential: str = ""
    status: int = 0
    outcome: Outcome = "ok"
    error: str = ""
    attempts: int = 0
    seconds: float = 0.0
    usage: Usage | None = None


class Recorder:
    """Counts requests and keeps the last ones; ``on_record`` sees each as it ends."""

    def __init__(self, on_record: Callable[[RequestRecord], None] | None = None) -> None:
        self.recent: deque[RequestRecord] = deque(maxlen=RECENT)
        self.outcomes: Counter[str] = Counter()
        self._on_record = on_record

    def add(self, record: RequestRecord) -> None:
        """Take a finished request's record."""
        self.recent.append(record)
        self.outcomes[record.outcome] += 1
        if self._on_record is not None:
            self._on_record(record)
