"""Log lines on standard error: text for people, JSON for machines, from every room alike."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from chatgpt_to_api.telemetry.records import RequestRecord
from chatgpt_to_api.wire.secret import scrubbed

LogFormat = Literal["text", "json"]

log = structlog.get_logger("requests")


def configure_logs(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Let structlog and the standard library write the same lines, from ``level`` up.

    ``level``: debug, info, warning or error. Libraries are heard from warning up only.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]
    renderer: Processor = structlog.processors.JSONRenderer() if form == "json" else _text
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("chatgpt_to_api").setLevel(level.upper())
    log_level = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("requests").setLevel(level.upper())


def request_log(level: str) -> Callable[[RequestRecord], None]:
    """Return what logs finished requests: failures for everybody, the rest at level debug."""
    every = level == "debug"

    def log_request(record: RequestRecord) -> None:
        failed = record.outcome in ("failed", "upstream_cut")
        if not (failed or every):
            return
        (log.warning if failed else log.debug)(
            "request failed" if failed else "request",
            request_id=record.request_id,
            door=record.door,
            model=record.model,
            upstream=record.upstream,
            credential=record.credential,
            status=record.status,
            outcome=record.outcome,
            error=record.error,
            attempts=record.attempts,
            seconds=round(record.seconds, 3),
        )

    return log_request


def _text(logger: WrappedLogger, method: str, event: EventDict) -> str:  # noqa: ARG001
    """One line for a person: time, level, what happened, and the rest as ``key=value``."""
    when = event.pop("timestamp", "")[:23]
    level = event.pop("level", method).upper()
    what = event.pop("event", "")
    trace = event.pop("exception", "")
    rest = "".join(f" {key}={_quoted(value)}" for key, value in event.items() if value != "")
    return f"{when} {level:7} {what}{rest}" + (f"\n{trace}" if trace else "")


def _quoted(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


def _without_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Mask whatever is shaped like a secret: exceptions of libraries may carry anything."""
    return {
        key: scrubbed(value) if isinstance(value, str) else value for key, value in event.items()
    }
