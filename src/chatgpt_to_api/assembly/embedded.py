"""The embedded model as an upstream: fetched and started where it is wanted, waited for, shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from chatgpt_to_api.config.settings import EmbeddedModelSettings
from chatgpt_to_api.errors import Unavailable
from chatgpt_to_api.gateway.local_endpoint import LocalEndpoint
from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.fetch import fetch
from chatgpt_to_api.local_model.runtime import RUNTIME_MISSING, runtime_available
from chatgpt_to_api.local_model.supervisor import LOAD_TIMEOUT, LocalModel
from chatgpt_to_api.pool.contract import CredentialSpec
from chatgpt_to_api.server.status import UpstreamStatus
from chatgpt_to_api.wire.secret import Access

_NOT_STARTED: Final = {
    "cannot run here": "",
    "not started": "It is started with the gateway: restart it to use the embedded model.",
}


class EmbeddedUpstream:
    """The embedded model of one gateway; until :meth:`prepare` there is none.

    ``missing`` says why it is wanted and cannot run, "" where nothing is wrong.
    """

    def __init__(self, data_dir: Path, settings: EmbeddedModelSettings) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self._model: LocalModel | None = None
        self.missing = ""

    async def prepare(self, *, alone: bool) -> None:
        """Fetch and start it; note why if it cannot run.

        Raises ModelUnavailable if it cannot be fetched and stands ``alone``: nothing else answers.
        """
        if not runtime_available():
            self.missing = RUNTIME_MISSING
            return
        try:
            path = await asyncio.to_thread(fetch, self._data_dir)
            self._model = LocalModel(path, self._settings)
        except ModelUnavailable as error:
            if alone:
                raise
            self.missing = str(error)
            return
        self._model.start()

    @property
    def endpoint(self) -> LocalEndpoint | None:
        """Where it answers, None where it does not run."""
        if self._model is None:
            return None
        return LocalEndpoint(
            self._model.base_url,
            self._model.models,
            self._model.vector_size,
            self._model.context,
            self._settings.parallel,
            self._ready,
        )

    @property
    def credentials(self) -> list[CredentialSpec]:
        """The key that its server wants."""
        if self._model is None:
            return []
        access = Access(token=self._model.api_key)
        return [CredentialSpec("embedded", access, label="embedded model")]

    def status(self, name: str) -> UpstreamStatus:
        """Say whether it can answer now, and what to do where it cannot."""
        if self._model is None:
            says = "cannot run here" if self.missing else "not started"
            return UpstreamStatus(name, "local", ready=False, says=says, advice=_NOT_STARTED[says])
        state = self._model.state
        says = "ready" if state.phase == "ready" else state.reason or state.phase
        return UpstreamStatus(name, "local", ready=state.phase == "ready", says=says)

    async def stop(self) -> None:
        """Stop it, if it runs."""
        if self._model is not None:
            await self._model.stop()

    async def _ready(self, deadline: float) -> None:
        """Let a request wait for a model that is still loading, until ``deadline`` (loop time).

        Raises Unavailable if it cannot answer.
        """
        if self._model is None or self._model.state.phase == "ready":
            return
        left = deadline - asyncio.get_running_loop().time()
        if not await self._model.ready(min(left, LOAD_TIMEOUT)):
            state = self._model.state
            raise Unavailable(
                f"The embedded model cannot answer now: {state.reason or state.phase}.",
                retry_after=1,
            )
