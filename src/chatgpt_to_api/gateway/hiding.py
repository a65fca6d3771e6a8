"""Takes conversations that the gateway made out of their account's list, in the background.

One call at a time, each on a lease of the very credential that owns the conversation: only while
that is free, within the pace, and given up at once when a client's request has to wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.errors import GatewayError, NoCredentials
from chatgpt_to_api.gateway.continuing import Conversation
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream
from chatgpt_to_api.pool.contract import Errand, LeaseAsk, Lender
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError

log = structlog.get_logger(__name__)

MOST: Final = 10_000
"""Most conversations that wait to be hidden; beyond it the oldest stays visible."""

TIMEOUT: Final = 10.0
"""Longest time one call may take, seconds."""

PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0
"""How long is waited, at first and at most, when a conversation could not be hidden, seconds."""

TRIES: Final = 5
"""How often the backend may fail before a conversation stays as it is."""

_GONE: Final = (404, 410)


class _Job:
    """One conversation to hide. ``failures`` counts the calls that the backend did not do."""

    __slots__ = ("conversation", "failures", "upstream")

    def __init__(self, upstream: ConfiguredUpstream, conversation: Conversation) -> None:
        self.upstream = upstream
        self.conversation = conversation
        self.failures = 0


class Hider:
    """Hides what it is given. Its task runs only while there is something to do."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Lender,
        client: HttpClient,
        limits: LimitSettings,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._client = client
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, upstream: ConfiguredUpstream, conversation: Conversation) -> None:
        """Hide a conversation when there is time for it."""
        if len(self._jobs) >= MOST:
            self._jobs.popleft()
            log.warning("too many conversations to hide: one stays visible", upstream=upstream.name)
        self._jobs.append(_Job(upstream, conversation))
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def close(self) -> None:
        """Stop; what was not hidden stays visible."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause, in_vain = PAUSE, 0
        while self._jobs:
            job = self._jobs.popleft()
            try:
                done = await self._try(job)
            except Exception:  # one odd reply must not end it for all
                log.exception("conversation not hidden", upstream=job.upstream.name)
                done = True
            if done:
                pause, in_vain = PAUSE, 0
                continue
            self._jobs.append(job)
            in_vain += 1
            if in_vain >= len(self._jobs):  # each of them has had its turn
                await asyncio.sleep(pause)
                pause, in_vain = min(2 * pause, LONGEST_PAUSE), 0
        self._task = None

    async def _try(self, job: _Job) -> bool:
        """Hide one conversation; whether nothing more is to be done about it."""
        try:
            return await self._loop.create_task(self._call(job))
        except asyncio.CancelledError:
            assert self._task is not None
            if self._task.cancelling():  # we are stopped
                raise
            return False  # a client had to wait, and the call gave way
        except NoCredentials:
            return True  # nobody can hide it any more
        except (GatewayError, TransportError) as error:
            if isinstance(error, TransportError):
                job.failures += 1
            return self._given_up(job, str(error))

    async def _call(self, job: _Job) -> bool:
        task = asyncio.current_task(self._loop)
        assert task is not None
        rules = job.upstream.continuing
        assert rules is not None
        deadline = self._loop.time() + TIMEOUT
        ask = LeaseAsk(
            upstream=job.upstream.name,
            model="",
            deadline=deadline,
            owner="hiding a conversation",
            edition=job.upstream.edition,
            errand=Errand(job.conversation.credential, task.cancel),
        )
        async with self._pool.lease(ask) as lease:
            reply = await self._client.send(
                rules.hiding(job.conversation.id, lease.credential.access),
                proxy=lease.credential.proxy or job.upstream.proxy,
                connect_timeout=self._limits.connect_timeout,
                read_timeout=TIMEOUT,
                deadline=deadline,
            )
            status = reply.head.status
            reply.close()
        if 200 <= status < 300 or status in _GONE:
            return True
        job.failures += 1
        return self._given_up(job, f"status {status}")

    def _given_up(self, job: _Job, reason: str) -> bool:
        if job.failures < TRIES:
            return False
        log.warning("conversation not hidden", upstream=job.upstream.name, reason=reason)
        return True
