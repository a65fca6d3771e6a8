"""Who may come in, as whom, and what the others are told."""

from __future__ import annotations

import pytest

from chatgpt_to_api.errors import Forbidden, GatewayError, Unauthorized
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.server.access import Gatekeeper, own_token
from chatgpt_to_api.server.doors import Bearer
from chatgpt_to_api.server.keys import ClientKeys, caller_id
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames

JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3MDA4NjQwMDB9.c2lnbmF0dXJl-_x"
SHARE = "fk-" + "a1B2_-" * 7
ACCOUNT = "0f9d5a30-1b2c-4d5e-8f90-123456789abc"
FAR = "203.0.113.7"


def admit(
    *fields: str,
    peer: str = "127.0.0.1",
    keys: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    caller_tokens: bool = False,
    bearer: Bearer = Bearer.KEY,
) -> Caller:
    """Let a request with these header lines knock."""
    pairs = (line.split(": ", 1) for line in ("Host: localhost:8080", *fields))
    gatekeeper = Gatekeeper(
        ClientKeys(keys),
        hosts=HostNames(hosts),
        origins=AllowedOrigins(origins),
        caller_tokens=caller_tokens,
    )
    headers = {name.lower().encode(): value.encode() for name, value in pairs}
    return gatekeeper.admit(peer, headers, bearer)


def refusal(*fields: str, **options: object) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        admit(*fields, **options)  # type: ignore[arg-type]
    return caught.value


class TestWithKeys:
    """A key lets in from anywhere; nothing else does."""

    @pytest.mark.parametrize(
        "shown",
        [
            "Authorization: Bearer sk-ours",
            "Authorization: bearer   sk-ours",
            "Authorization: sk-ours",
            "X-Api-Key: sk-ours",
            "X-Authorization: Bearer sk-ours",
        ],
    )
    def test_a_key_is_taken_however_it_is_shown(self, shown: str) -> None:
        """With Bearer, bare, or where other dialects put it."""
        caller = admit(shown, keys=("sk-ours",), peer=FAR)
        assert caller == Caller(id=caller_id(b"sk-ours"))

    def test_a_second_header_may_hold_the_key(self) -> None:
        """A client that fills in a dummy bearer still gets in by x-api-key."""
        assert admit("Authorization: Bearer dummy", "X-Api-Key: sk-ours", keys=("sk-ours",)).id

    def test_with_a_key_pages_hosts_and_proxies_do_not_matter(self) -> None:
        """Whoever has the key is meant to be there."""
        assert admit(
            "Authorization: Bearer sk-ours",
            "Host: gateway.example",
            "Origin: https://page.example",
            "X-Forwarded-For: 1.2.3.4",
            peer=FAR,
            keys=("sk-ours",),
        ).id

    @pytest.mark.parametrize("shown", [(), ("Authorization: Bearer",), ("Authorization: Bearer ",)])
    def test_without_a_key_the_error_says_how_to_send_one(self, shown: tuple[str, ...]) -> None:
        """Missing and wrong are different mistakes."""
        error = refusal(*shown, keys=("sk-ours",))
        assert (error.status, error.code) == (401, "missing_api_key")
        for way in ("Authorization: Bearer <key>", "x-api-key: <key>", "x-goog-api-key: <key>"):
            assert way in error.message

    @pytest.mark.parametrize("shown", ["sk-theirs", "sk-our", "sk-ours2", "Basic c2stb3Vycw=="])
    def test_a_wrong_key_is_told_so_and_not_repeated(self, shown: str) -> None:
        """Also for somebody on this very machine."""
        error = refusal(f"Authorization: Bearer {shown}", keys=("sk-ours",))
        assert (error.status, error.code) == (401, "invalid_api_key")
        assert shown not in error.message

    def test_own_tokens_count_only_where_they_are_allowed(self) -> None:
        """In the original any string that looked like a token walked past the keys."""
        shown = f"Authorization: Bearer {JWT}"
        assert refusal(shown, keys=("sk-ours",)).status == 401
        caller = admit(shown, keys=("sk-ours",), caller_tokens=True)
        assert caller.own is not None and caller.own.token is not None
        assert caller.own.token.reveal() == JWT
        assert refusal("Authorization: Bearer other", keys=("sk-ours",), caller_tokens=True)

    def test_the_conversation_door_asks_in_its_own_words(self) -> None:
        """People probe for exactly this sentence; a wrong key is a wrong key."""
        error = refusal(keys=("sk-ours",), bearer=Bearer.IDENTITY)
        assert (error.status, error.message) == (401, "Missing accessToken.")
        wrong = refusal("Authorization: Bearer x", keys=("sk-ours",), bearer=Bearer.IDENTITY)
        assert wrong.code == "invalid_api_key"


class TestWithoutKeys:
    """Programs on this machine and its private network, directly; nobody else."""

    @pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.9", "192.168.0.2", "fd00::2"])
    def test_neighbours_need_no_key(self, peer: str) -> None:
        """The guide's curl works as it is typed."""
        assert admit(peer=peer) == Caller()

    def test_a_dummy_key_is_accepted_and_ignored(self) -> None:
        """SDKs insist on sending something."""
        assert admit("Authorization: Bearer sk-anything") == Caller()

    @pytest.mark.parametrize("peer", [FAR, "2001:db8::1", "", "100.64.1.1"])
    def test_strangers_are_told_how_to_get_in(self, peer: str) -> None:
        """The error names their address and the file for keys."""
        error = refusal(peer=peer)
        assert isinstance(error, Unauthorized)
        assert error.code == "client_keys_required"
        assert "api_keys.txt" in error.message
        assert (peer or "unknown address") in error.message

    @pytest.mark.parametrize(
        "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "Via"]
    )
    def test_a_forwarded_request_is_a_strangers(self, header: str) -> None:
        """A proxy on this machine makes everybody look local."""
        error = refusal(f"{header}: 127.0.0.1")
        assert error.code == "client_keys_required"
        assert header.lower() in error.message

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:3000", "http://localhost"]
    )
    def test_a_foreign_page_is_refused_with_the_way_out(self, origin: str) -> None:
        """Somebody's browser is a local peer too."""
        error = refusal(f"Origin: {origin}")
        assert isinstance(error, Forbidden)
        assert error.code == "origin_not_allowed"
        assert "CORS_ALLOWED_ORIGINS" in error.message
        assert origin in error.message

    def test_our_own_and_allowed_pages_come_in(self) -> None:
        """Same origin, configured, or any."""
        assert admit("Origin: http://localhost:8080") == Caller()
        assert admit("Origin: https://app.example", origins=("https://app.example",)) == Caller()
        assert admit("Origin: null", origins=("*",)) == Caller()

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080"])
    def test_a_rebound_name_is_refused_even_by_its_own_page(self, host: str) -> None:
        """The page's origin equals the host: only the name betrays it."""
        error = refusal(f"Host: {host}", f"Origin: http://{host}")
        assert (error.status, error.code) == (403, "host_not_allowed")
        assert "ALLOWED_HOSTS" in error.message
        assert admit(f"Host: {host}", hosts=(host.partition(":")[0],)) == Caller()

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_a_page_without_an_origin_is_seen_by_the_browsers_own_sign(self, site: str) -> None:
        """Images, forms and no-cors fetches carry no Origin."""
        assert refusal(f"Sec-Fetch-Site: {site}").code == "origin_not_allowed"
        for fine in ("same-origin", "none"):
            assert admit(f"Sec-Fetch-Site: {fine}") == Caller()
        assert admit(f"Sec-Fetch-Site: {site}", origins=("*",)) == Caller()

    def test_what_an_error_repeats_of_a_header_is_short_and_printable(self) -> None:
        """A caller's header cannot paint over somebody's terminal."""
        error = refusal("Origin: http://\x1b[31m" + "x" * 500 + "é")
        assert "\x1b" not in error.message
        assert len(error.message) < 400

    @pytest.mark.parametrize("token", [JWT, SHARE])
    def test_an_own_access_token_is_used(self, token: str) -> None:
        """It travels as a secret, for a conversation upstream only."""
        caller = admit(f"Authorization: Bearer {token}")
        assert caller.own is not None and caller.own.token is not None
        assert caller.own.token.reveal() == token
        assert caller.own.account is None
        assert caller.id == caller_id(token.encode())
        assert token not in repr(caller)

    def test_a_token_may_name_its_workspace(self) -> None:
        """``<token>,<account uuid>``, the team form."""
        caller = admit(f"Authorization: Bearer {JWT},{ACCOUNT}")
        assert caller.own is not None and caller.own.token is not None
        assert (caller.own.token.reveal(), caller.own.account) == (JWT, ACCOUNT)

    def test_an_identity_is_wanted_where_conversations_are_kept(self) -> None:
        """Any bearer names its owner; without one there is none."""
        error = refusal(bearer=Bearer.IDENTITY)
        assert (error.status, error.message) == (401, "Missing accessToken.")
        caller = admit("Authorization: Bearer me", bearer=Bearer.IDENTITY)
        assert caller == Caller(id=caller_id(b"me"))
        assert admit("Authorization: Bearer me", bearer=Bearer.IDENTITY_OR_NOBODY) == caller
        assert admit(bearer=Bearer.IDENTITY_OR_NOBODY) == Caller()


@pytest.mark.parametrize(
    "bearer",
    [
        "sk-anything",
        "eyJ",
        "eyJhbGciOi",
        "eyJhbGciOi.eyJleHAi",
        "eyJhbGciOi.eyJleHAi.",
        "eyJhbGciOi.eyJleHAi.sig.more",
        "eyJhbGciOi.eyJleHAi.si g",
        f"{JWT},not-a-uuid",
        f"{JWT},",
        "fk-test",
        "x" + JWT,
    ],
)
def test_what_only_looks_a_little_like_a_token_is_none(bearer: str) -> None:
    """A dummy must not be sent to anybody's backend."""
    assert own_token(bearer.encode()) is None
