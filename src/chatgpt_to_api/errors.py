"""The one error taxonomy. Errors carry data; each door renders them in its own dialect."""

from __future__ import annotations

import math


class GatewayError(Exception):
    """An error a caller can be told about.

    ``status``: the HTTP status; ``kind``: OpenAI's ``type``; ``code``: a stable machine-readable
    word; ``param``: the path of the field at fault; ``said``: the upstream's own words, already
    free of secrets; ``retry_after``: whole seconds, set where a later try can succeed.
    """

    status: int = 500
    kind: str = "server_error"
    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        said: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.param = param
        self.said = said
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        if code is not None:
            self.code = code
        super().__init__(message)

    @property
    def text(self) -> str:
        """The message followed by the upstream's own words, where it said any."""
        if not self.said or self.said in self.message:
            return self.message
        return f"{self.message} Upstream said: {self.said}"


class InvalidRequest(GatewayError):
    """The request itself is wrong and would be wrong the next time too."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_request"


class Unauthorized(GatewayError):
    """The caller showed no key, or one that is not valid here."""

    status = 401
    kind = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The caller is known but may not do this, or its address or page may not."""

    status = 403
    kind = "invalid_request_error"
    code = "forbidden"


class NotFound(GatewayError):
    """Nothing stands under that path or id."""

    status = 404
    kind = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No route leads to the model that was asked for."""

    code = "model_not_found"


class EndpointNotServed(NotFound):
    """No upstream offers what that path is for."""

    code = "endpoint_not_served"


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    status = 405
    kind = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    """The thing to be changed is not in a state that allows it."""

    status = 409
    kind = "invalid_request_error"
    code = "conflict"


class PreconditionFailed(GatewayError):
    """The thing to be changed is not any more what the caller has seen of it."""

    status = 412
    kind = "invalid_request_error"
    code = "version_changed"


class BodyTooLarge(GatewayError):
    """The request's body is larger than the limit."""

    status = 413
    kind = "invalid_request_error"
    code = "request_too_large"


class UnsupportedEncoding(GatewayError):
    """The request's body is compressed in a way that is not read here."""

    status = 415
    kind = "invalid_request_error"
    code = "unsupported_content_encoding"


class RequestTimeout(GatewayError):
    """The client began a request and then sent nothing more for too long."""

    status = 408
    kind = "invalid_request_error"
    code = "request_timeout"


class HeadTooLarge(GatewayError):
    """The request's head has too many fields or bytes."""

    status = 431
    kind = "invalid_request_error"
    code = "request_head_too_large"


class RateLimited(GatewayError):
    """No credential became free before the request's deadline, or every one is cooling."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"


class NoCredentials(GatewayError):
    """The upstream has no usable credential; somebody has to add or replace one."""

    status = 503
    kind = "server_error"
    code = "no_credentials"


class Unavailable(GatewayError):
    """The gateway or every candidate is out of service for the moment."""

    status = 503
    kind = "server_error"
    code = "service_unavailable"


class Stopping(Unavailable):
    """The gateway is being stopped, and the time it gives to running requests is over."""

    def __init__(self) -> None:
        super().__init__("The gateway is stopping.", retry_after=5)


class UpstreamRejected(GatewayError):
    """The upstream refused the request itself (400, 404, 409, 413, 422); that status is kept."""

    kind = "invalid_request_error"
    code = "upstream_rejected"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        said: str = "",
    ) -> None:
        self.status = status
        super().__init__(message, code=code, param=param, said=said)


class UpstreamFailed(GatewayError):
    """The upstream failed, could not be reached, broke off, or spoke nonsense."""

    status = 502
    kind = "upstream_error"
    code = "upstream_error"


class UpstreamDenied(UpstreamFailed):
    """The upstream refused our credential (401, 402, 403): for the operator to mend."""

    code = "upstream_denied"


class UpstreamChallenge(UpstreamFailed):
    """An HTML challenge page stands in front of the upstream: this address is refused."""

    status = 503
    code = "upstream_challenge"


class UpstreamTimeout(UpstreamFailed):
    """The upstream was silent too long, or the request's deadline passed."""

    status = 504
    code = "upstream_timeout"


class ReplyTooLong(UpstreamFailed):
    """A line, an event or the whole of a reply is longer than the gateway holds in memory."""

    code = "upstream_reply_too_long"

    def __init__(self, *, limit: int, what: str = "bytes in one event") -> None:
        super().__init__(f"The upstream sent more than {limit} {what}.")


class ReplyRefused(UpstreamFailed):
    """The model answered, but not as the request demands, and not on a second try either."""

    code = "json_validation_failed"
