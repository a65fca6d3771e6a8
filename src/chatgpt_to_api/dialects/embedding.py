"""What a request for embeddings is in every dialect: whole, one answer, and nothing for a chat."""

from __future__ import annotations

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.errors import EndpointNotServed


class TextsAsked:
    """The part of :class:`~chatgpt_to_api.dialects.contract.AsksVectors` that is the same."""

    stream = False
    include_usage = False
    n = 1
    affinity = b""
    opening = b""
    model: str

    def request(self) -> ChatRequest:
        """No chat can answer this."""
        raise EndpointNotServed(
            f"The upstream of {self.model!r} offers no embeddings.", param="model"
        )

    def needs(self) -> Needs:
        """Nothing that only some upstreams can: each text is measured by itself."""
        return Needs()

    def may_need(self, feature: Feature) -> bool:  # noqa: ARG002  # the contract's
        """No: all of these are about text that a model writes."""
        return False
