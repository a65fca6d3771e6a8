from __future__ import annotations

import pytest

from chatgpt_to_api.config.route_settings import CandidateSettings, RouteSettings
from chatgpt_to_api.config.settings import EmbeddedModelSettings, Settings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings

OPENAI = {"vendor": UpstreamSettings("openai", base_url="http://x/v1")}
TO_LOCAL = (RouteSettings("tiny", (CandidateSettings("local"),)),)


@pytest.mark.parametrize(
    ("use", "upstreams", "routes", "tokens", "in_force"),
    [
        ("auto", {}, (), False, ["local"]),
        ("auto", {}, (), True, ["conversation"]),
        ("auto", OPENAI, (), False, ["vendor"]),
        ("auto", OPENAI, (), True, ["vendor", "conversation"]),
        ("auto", OPENAI, TO_LOCAL, False, ["vendor", "local"]),
        ("on", OPENAI, (), False, ["vendor", "local"]),
        ("off", {}, (), False, []),
        ("off", {"mine": UpstreamSettings("local")}, (), False, []),
        ("auto", {"mine": UpstreamSettings("local"), **OPENAI}, (), False, ["mine", "vendor"]),
    ],
)
def test_upstreams_in_force_follow_tokens_and_the_embedded_model(
    use: str,
    upstreams: dict[str, UpstreamSettings],
    routes: tuple[RouteSettings, ...],
    tokens: bool,
    in_force: list[str],
) -> None:
    """Tokens bring the official backend, nothing at all brings the embedded model."""
    settings = Settings(
        data_dir="/d",
        upstreams=upstreams,
        routes=routes,
        embedded_model=EmbeddedModelSettings(use=use),  # type: ignore[arg-type]
    )
    assert list(settings.upstreams_with(tokens=tokens)) == in_force


def test_tokens_go_to_the_configured_backend_and_not_to_the_official_one() -> None:
    """Whoever names a conversation backend means it for all tokens."""
    mine = UpstreamSettings("conversation", base_url="http://a/conversation")
    settings = Settings(data_dir="/d", upstreams={"mine": mine})
    assert settings.upstreams_with(tokens=True) == {"mine": mine}
