from __future__ import annotations

from pathlib import Path

from chatgpt_to_api.config.catalogue import catalogue, upstream_catalogue
from chatgpt_to_api.config.load import load
from chatgpt_to_api.config.show import reference, rows

SECRETS = {
    "ADMIN_PASSWORD": "planted-password-0123456789",
    "ACCESS_TOKENS": "planted-token-a-0123456789,planted-token-b-0123456789",
    "OFFICIAL_API_KEY": "planted-official-0123456789",
    "SECRET_KEY": "planted-sealing-0123456789",
    "API_KEYS": "planted-client-0123456789",
    "PUID": "planted-puid-0123456789",
    "OPENAI_API_KEY": "planted-vendor-0123456789",
    "http_proxy": "http://me:planted-proxy@127.0.0.1:3128",
}


def shown(tmp_path: Path, **environ: str) -> dict[str, tuple[str, str]]:
    environ["CHATGPT_TO_API_DATA_DIR"] = str(tmp_path)
    loaded = load(environ=environ, folder=tmp_path)
    return {row.key: (row.value, row.origin) for row in rows(loaded)}


def test_every_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    """Defaults, variables and the file are told apart; each upstream shows what its kind has."""
    (tmp_path / "config.toml").write_text(
        "[upstreams.vendor]\nkind = 'openai'\nbase_url = 'http://x/v1'\nmodels = ['a', 'b*']\n"
        "[[routes]]\nmodel = 'gpt-*'\n"
        "candidates = [{ upstream = 'vendor', model = 'a' }, { upstream = 'local' }]\n"
    )
    file = str(tmp_path / "config.toml")
    found = shown(tmp_path, SERVER_PORT="9", ENABLE_HISTORY="yes")
    assert found["server.port"] == ("9", "environment SERVER_PORT")
    assert found["limits.queue_wait"] == ("30", "default")
    assert found["upstreams.vendor.models"] == ("a, b*", file)
    assert found["upstreams.conversation.history"] == ("true", "environment ENABLE_HISTORY")
    assert found["routes[0]"] == ("gpt-* → vendor: a, local", file)
    assert "upstreams.vendor.puid" not in found
    assert {setting.key for setting in catalogue()} <= found.keys()


def test_secrets_are_masked(tmp_path: Path) -> None:
    """No secret is shown whole, whatever it is the value of."""
    text = str(shown(tmp_path, OPENAI_BASE_URL="http://x/v1", **SECRETS))
    for value in ",".join(SECRETS.values()).split(","):
        assert value not in text
    assert "planted-proxy" not in text
    assert "plan…6789" in text


def test_the_reference_has_every_setting_described() -> None:
    """Whatever can be set is listed with a meaning; no two settings share a variable or key."""
    listed = reference()
    assert {s.key for s in catalogue() + upstream_catalogue()} < {row.key for row in listed}
    assert len({row.key for row in listed}) == len(listed)
    assert all(row.description for row in listed)
    variables = [name for row in listed for name in row.env]
    assert len(set(variables)) == len(variables)
    defaults = {row.key: row.default for row in listed}
    assert defaults["server.port"] == "8080"
    assert defaults["routes[].candidates[].upstream"] == ""
