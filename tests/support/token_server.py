"""A token server that lets each refresh token be used once, and remembers who tried again."""

from __future__ import annotations

from urllib.parse import parse_qs

from support.scripted_backend import Play, Seen, json_play


class TokenServer:
    """A script for a backend. The first refresh token is ``rt-0``; ``lives`` is in seconds."""

    def __init__(self, *, lives: float | None = 3600, first: str = "rt-0") -> None:
        self.lives = lives
        self.good = {first}
        self.asked: list[str] = []
        """The refresh tokens that were shown, in order."""
        self.plays: list[Play] = []
        """What is answered first, before refresh tokens are looked at; they are not spent by it."""
        self.spent_in_vain = False
        """The next one is spent, but its answer never comes."""
        self._given = 0

    @property
    def shown_twice(self) -> list[str]:
        """Refresh tokens that were shown more than once."""
        return sorted({token for token in self.asked if self.asked.count(token) > 1})

    def __call__(self, seen: Seen) -> Play:
        fields = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
        assert fields["grant_type"] == "refresh_token"
        assert fields["client_id"] == "client"
        token = fields["refresh_token"]
        self.asked.append(token)
        if self.plays:
            return self.plays.pop(0)
        if token not in self.good:
            return json_play({"error": "invalid_grant", "error_description": token}, 400)
        self.good.remove(token)
        if self.spent_in_vain:
            self.spent_in_vain = False
            return Play(pieces=[b'{"access_'], content_type="application/json", end="reset")
        self._given += 1
        self.good.add(f"rt-{self._given}")
        answer = {"access_token": f"at-{self._given}", "refresh_token": f"rt-{self._given}"}
        lives = {} if self.lives is None else {"expires_in": self.lives}
        return json_play({**answer, **lives, "token_type": "Bearer"})
