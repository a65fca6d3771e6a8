from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import Loaded, default_data_dir, load
from chatgpt_to_api.config.upstream_settings import KEYED, Kind
from chatgpt_to_api.wire.secret import Secret

Read = Callable[..., Loaded]

KINDS = sorted(get_args(Kind))
EVERY_KIND = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Load with only the given variables; the data folder is tmp_path/data."""

    def read_with(options: dict[str, str] | None = None, **environ: str) -> Loaded:
        environ.setdefault("CHATGPT_TO_API_DATA_DIR", str(tmp_path / "data"))
        return load(environ=environ, folder=tmp_path, options=options)

    return read_with


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Write config.toml into the data folder."""

    def write(text: str) -> Path:
        path = tmp_path / "data" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


Config = Callable[[str], Path]


def problems(read: Read, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**environ)
    return list(caught.value.problems)


def test_nothing_set_gives_the_documented_defaults(read: Read, tmp_path: Path) -> None:
    """Without any source the gateway listens on loopback, port 8080, with no upstream."""
    loaded = read()
    settings = loaded.settings
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.limits.queue_wait == 30.0
    assert settings.limits.read_timeout == 360.0
    assert settings.limits.request_deadline == 900.0
    assert settings.server.max_body == 64 * 1024 * 1024
    assert settings.upstreams == {}
    assert settings.data_dir == str(tmp_path / "data")
    assert loaded.origins["server.port"] == "default"
    assert loaded.warnings == ()


def test_loading_writes_nothing(read: Read, tmp_path: Path) -> None:
    """Reading the configuration makes no folder and no file."""
    read()
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_defaults_to_the_platforms(tmp_path: Path) -> None:
    """With no variable the folder is the user's own data folder."""
    assert load(environ={}, folder=tmp_path).settings.data_dir == str(default_data_dir())


def test_the_environment_of_the_process_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an explicit environment the process's own counts, and its working directory."""
    monkeypatch.setenv("SERVER_PORT", "9100")
    monkeypatch.setenv("CHATGPT_TO_API_DATA_DIR", "here")
    monkeypatch.chdir(tmp_path)
    settings = load().settings
    assert settings.server.port == 9100
    assert settings.data_dir == str(tmp_path / "here")


def test_option_beats_environment_beats_dotenv_beats_file(
    read: Read, config: Config, tmp_path: Path
) -> None:
    """Each source wins over the next, and the origin says which one it was."""
    path = config("[server]\nport = 1\n")
    assert read().settings.server.port == 1
    assert read().origins["server.port"] == str(path)
    (tmp_path / ".env").write_text("SERVER_PORT=2\n")
    assert read().settings.server.port == 2
    assert read().origins["server.port"] == ".env SERVER_PORT"
    assert read(SERVER_PORT="3").settings.server.port == 3
    assert read(SERVER_PORT="3").origins["server.port"] == "environment SERVER_PORT"
    loaded = read(options={"server.port": "4"}, SERVER_PORT="3")
    assert loaded.settings.server.port == 4
    assert loaded.origins["server.port"] == "option --port"


@pytest.mark.parametrize("nothing", ["", "  ", "\t\n"])
def test_a_variable_set_to_nothing_is_not_set(read: Read, config: Config, nothing: str) -> None:
    """An empty variable leaves the choice to the sources below it."""
    config("[server]\nport = 1\n[admin]\npassword = 'kept'\n")
    settings = read(SERVER_PORT=nothing, ADMIN_PASSWORD=nothing, API_REVERSE_PROXY=nothing).settings
    assert settings.server.port == 1
    assert settings.admin.password == Secret("kept")
    assert settings.upstreams == {}


def test_port_is_read_where_server_port_is_not_set(read: Read) -> None:
    """SERVER_PORT, else PORT, else 8080."""
    assert read(PORT="7000").settings.server.port == 7000
    assert read(PORT="7000", SERVER_PORT="7001").settings.server.port == 7001
    assert read(PORT="7000", SERVER_PORT="").settings.server.port == 7000


def test_the_guides_variables_are_understood(read: Read, tmp_path: Path) -> None:
    """Every variable of the guide lands where it belongs."""
    settings = read(
        SERVER_HOST="0.0.0.0",
        SERVER_PORT="10080",
        ADMIN_PASSWORD="TotallySecurePassword",
        API_REVERSE_PROXY="https://proxy.example/backend-api/conversation",
        PUID="user-X",
        ACCESS_TOKENS="eyJa, eyJb,",
        ACCESS_TOKENS_FILE="tokens.json",
        ENABLE_HISTORY="true",
        API_RATE_LIMIT="5/10s, 50/15s",
        ALLOW_CALLER_TOKENS="1",
        ALLOW_ANONYMOUS_CONVERSATION="yes",
        API_KEYS="key-one,key-two",
        CORS_ALLOWED_ORIGINS="https://app.example/,http://localhost:3000",
        ALLOWED_HOSTS="Gateway.example",
        OFFICIAL_API_KEY="sk-official",
        SECRET_KEY="a secret key of length",
        EMBEDDED_MODEL="OFF",
        http_proxy="http://127.0.0.1:3128",
        HTTPS_PROXY="http://127.0.0.1:3129",
        all_proxy="socks5://127.0.0.1:1080",
        no_proxy=".example,10.0.0.0/8",
    ).settings
    upstream = settings.upstreams["conversation"]
    assert settings.server.host == "0.0.0.0"
    assert settings.server.port == 10080
    assert settings.admin.password == Secret("TotallySecurePassword")
    assert upstream.kind == "conversation"
    assert upstream.base_url == "https://proxy.example/backend-api/conversation"
    assert upstream.puid == Secret("user-X")
    assert upstream.history is True
    assert upstream.rate_limits == ("5/10s", "50/15s")
    assert settings.tokens.access_tokens == (Secret("eyJa"), Secret("eyJb"))
    assert settings.tokens.access_tokens_file == str(tmp_path / "tokens.json")
    assert settings.server.allow_caller_tokens is True
    assert settings.server.allow_anonymous_conversation is True
    assert settings.server.api_keys == (Secret("key-one"), Secret("key-two"))
    assert settings.server.cors_allowed_origins == ("https://app.example", "http://localhost:3000")
    assert settings.server.allowed_hosts == ("gateway.example",)
    assert settings.tokens.official_api_key == Secret("sk-official")
    assert settings.store.secret_key == Secret("a secret key of length")
    assert settings.embedded_model.use == "off"
    assert settings.proxy.environment() == {
        "http_proxy": "http://127.0.0.1:3128",
        "https_proxy": "http://127.0.0.1:3129",
        "all_proxy": "socks5://127.0.0.1:1080",
        "no_proxy": ".example,10.0.0.0/8",
    }


def test_the_documented_example_is_understood(read: Read, config: Config, tmp_path: Path) -> None:
    """The configuration file that the documentation shows, with both kinds of references."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "key2").write_text("sk-two\n")
    config(
        """
        [server]
        host = "127.0.0.1"
        port = 8080

        [upstreams.conversation]
        kind = "conversation"
        base_url = "http://127.0.0.1:9000/backend-api/conversation"
        rate_limits = ["5/10s"]
        puid = "user-X"

        [upstreams.vendor]
        kind = "openai"
        base_url = "https://api.example.com/v1"
        api_keys = ["env:VENDOR_KEY", "file:key2"]
        max_concurrency = 64
        models = ["gpt-*", "o*"]

        [[routes]]
        model = "gpt-4o*"
        candidates = [{ upstream = "vendor" }, { upstream = "conversation", model = "gpt-4o" }]
        """
    )
    settings = read(VENDOR_KEY="sk-one").settings
    assert list(settings.upstreams) == ["conversation", "vendor"]
    vendor = settings.upstreams["vendor"]
    assert vendor.api_keys == (Secret("sk-one"), Secret("sk-two"))
    assert vendor.max_concurrency == 64
    assert vendor.models == ("gpt-*", "o*")
    assert settings.routes[0].model == "gpt-4o*"
    assert [(c.upstream, c.model) for c in settings.routes[0].candidates] == [
        ("vendor", None),
        ("conversation", "gpt-4o"),
    ]


def test_all_problems_are_told_at_once_each_by_name(read: Read, config: Config) -> None:
    """One wrong start shows everything there is to mend."""
    path = config(
        "[upstreams.vendor]\nkind = 'openai'\nbase_url = 'api.example'\n"
        "api_keys = ['env:VENDOR_KEY']\n[limits]\nmax_queue = 'many'\n"
    )
    found = problems(
        read,
        CHATGPT_TO_API_QUEUE_WAIT="-1",
        ENABLE_HISTORY="maybe",
        API_RATE_LIMIT="5 per second",
        SERVER_PORT="70000",
        CHATGPT_TO_API_READ_TIMEOUT="inf",
        CHATGPT_TO_API_MAX_ATTEMPTS="2.5",
    )
    assert found == [
        "SERVER_PORT: expected a whole number >= 0 and <= 65535, got '70000'",
        "CHATGPT_TO_API_QUEUE_WAIT: expected a number >= 0 (seconds), got '-1'",
        "CHATGPT_TO_API_READ_TIMEOUT: expected a number > 0 (seconds), got 'inf'",
        f"limits.max_queue (in {path}): expected a whole number >= 0, got 'many'",
        "CHATGPT_TO_API_MAX_ATTEMPTS: expected a whole number >= 1, got '2.5'",
        f"upstreams.vendor.api_keys (in {path}): at [0]: the variable VENDOR_KEY it refers to "
        "is not set",
        f"upstreams.vendor.base_url (in {path}): a URL must begin with http:// or https://",
        "API_RATE_LIMIT: expected COUNT/LENGTH, such as 5/10s or 100/1h; got '5 per second'",
        "ENABLE_HISTORY: expected true, false, yes, no, on, off, 1 or 0, got 'maybe'",
    ]


PLANTED = "hunter2hunter2hunter2hunter2hunter2"


def test_no_problem_repeats_a_secret(read: Read, config: Config) -> None:
    """Wrong as the value of a secret may be, it is not in the error."""
    config(
        f"[admin]\npassword = ['{PLANTED}']\n"
        f"[upstreams.vendor]\nkind = 'openai'\nbase_url = 'https://u:{PLANTED}@x/'\n"
        f"api_keys = '{PLANTED}'\n"
        f"[upstreams.own]\nkind = 'conversation'\nbase_url = 'http://x/conversation'\n"
        f"headers = {{ cookie = '{PLANTED}' }}\n"
    )
    found = problems(
        read,
        API_REVERSE_PROXY=f"http://x:{PLANTED}/",
        ACCESS_TOKENS=f"{PLANTED}\x01",
        PUID=f"{PLANTED} {PLANTED}",
        http_proxy=f"gopher://me:{PLANTED}@x:1",
    )
    assert len(found) == 8
    assert PLANTED not in "\n".join(found)


def test_an_unknown_key_is_refused_with_the_nearest_known_one(read: Read, config: Config) -> None:
    """A slip of the pen does not silently leave a default in force."""
    path = config(
        "prot = 1\nhots = 'x'\n[server]\nprot = 1\n[limit]\nhold = 1\n"
        "[upstreams.vendor]\nkind='openai'\nbase_url='http://x/v1'\nmax_concurency = 2\n"
        "[[routes]]\nmodel = 'x'\ncandidates = [{ upstream = 'vendor', modle = 'y' }]\n"
    )
    assert problems(read) == [
        f"prot (in {path}): there is no such setting; did you mean server.port?",
        f"hots (in {path}): there is no such setting; did you mean server.host?",
        f"server.prot (in {path}): there is no such setting; did you mean server.port?",
        f"limit (in {path}): there is no such setting; did you mean limits?",
        f"upstreams.vendor.max_concurency (in {path}): there is no such setting; did you mean "
        "upstreams.vendor.max_concurrency?",
        f"routes[0].candidates[0].modle (in {path}): there is no such setting; did you mean model?",
    ]


def test_a_field_of_another_kind_is_refused(read: Read, config: Config) -> None:
    """What an upstream's kind has no use for is an error, not ignored."""
    path = config(
        "[upstreams.vendor]\nkind = 'openai'\nbase_url = 'http://x/v1'\npuid = 'user-1'\n"
        "[upstreams.local]\nbase_url = 'http://x/v1'\n"
    )
    assert problems(read) == [
        f"upstreams.vendor.puid (in {path}): belongs to an upstream of kind conversation, "
        "not openai",
        f"upstreams.local.base_url (in {path}): belongs to an upstream of kind "
        f"{' or '.join(['conversation', *KEYED])}, not local",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server = 5", "server (in {}): expected a table [server]"),
        ("upstreams = 5", "upstreams (in {}): expected tables [upstreams.NAME]"),
        ("[upstreams]\nx = 5", "upstreams.x (in {}): expected a table"),
        ("[upstreams.x]\n", f"upstreams.x.kind (in {{}}): expected {EVERY_KIND}; it is missing"),
        ("[upstreams.x]\nkind = 'ftp'", f"upstreams.x.kind (in {{}}): expected {EVERY_KIND}; "
         "got 'ftp'"),
        ("[upstreams.x]\nkind = 'gemni'", f"upstreams.x.kind (in {{}}): expected {EVERY_KIND}; "
         "got 'gemni'; did you mean gemini?"),
        ("[upstreams.x]\nkind = 'openai'", "upstreams.x.base_url (in {}): expected a URL; it is "
         "missing"),
        ("[upstreams.'a b']\nkind = 'local'", "upstreams.'a b' (in {}): expected a name of "
         "letters, digits, - _ . (64 at most)"),
        ("[upstreams.x]\nkind='openai'\nbase_url='http://127.0.0.1:8080/v1'",
         "upstreams.x.base_url (in {}): points at this gateway itself"),
        ("[upstreams.x]\nkind='openai'\nbase_url='http://x/v1?k=1'",
         "upstreams.x.base_url (in {}): the URL must not have a query"),
        ("[upstreams.x]\nkind='openai'\nbase_url='http://x/v1'\nmax_concurrency=0",
         "upstreams.x.max_concurrency (in {}): expected a whole number >= 1, got 0"),
        ("[upstreams.x]\nkind='openai'\nbase_url='http://x/v1'\nmodels=['a',' ']",
         "upstreams.x.models (in {}): [1] expected a model name or glob"),
        ("well_known_models = ['a[b']", "well_known_models (in {}): [0] expected a glob; in 'a[b' "
         "the [ is never closed (the character itself is written [[])"),
        ("routes = 5", "routes (in {}): expected tables [[routes]]"),
        ("[[routes]]\nmodel='x'\ncandidates=[]", "routes[0].candidates (in {}): expected one "
         "candidate at least"),
        ("[[routes]]\nmodel=' '\ncandidates=[{upstream='local'}]",
         "routes[0].model (in {}): expected a model name or glob"),
        ("[[routes]]\nmodel='x'\ncandidates=[{upstream='nowhere'}]",
         "routes[0].candidates[0].upstream (in {}): expected one of conversation, local; got "
         "'nowhere'"),
        ("[server]\nport = true", "server.port (in {}): expected a whole number >= 0 and "
         "<= 65535, got True"),
        ("[server]\nport = 1" + "0" * 400, "server.port (in {}): expected a whole number >= 0 "
         "and <= 65535, got 1" + "0" * 39 + "…"),
        ("[limits]\nhold = 1" + "0" * 400, "limits.hold (in {}): expected a number >= 0 "
         "(seconds), got 1" + "0" * 39 + "…"),
        ("[limits]\nhold = nan", "limits.hold (in {}): expected a number >= 0 (seconds), got nan"),
        ("[server]\nhost = 'http://x'", "server.host (in {}): expected an address or a host name "
         "without port, such as 127.0.0.1 or 0.0.0.0"),
        ("[server]\ncors_allowed_origins = 'x'", "server.cors_allowed_origins (in {}): expected "
         "a list, each text, got 'x'"),
        ("[server]\ncors_allowed_origins = ['app.example']", "server.cors_allowed_origins (in {})"
         ": expected * or origins such as https://app.example, got 'app.example'"),
        ("[server]\nallowed_hosts = ['http://x']", "server.allowed_hosts (in {}): expected host "
         "names without scheme and port, got 'http://x'"),
        ("data_dir = '/x'", "data_dir (in {}): cannot stand in the data folder's own config.toml; "
         "use CHATGPT_TO_API_DATA_DIR"),
        ("config_file = '/x'", "config_file (in {}): there is no such setting"),
        ("[admin]\npassword = 'file:none'", "admin.password (in {}): the file {parent}/none it "
         "refers to: No such file or directory"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_by_its_key(
    read: Read, config: Config, text: str, said: str
) -> None:
    """Each kind of mistake names the key, the file and what was expected."""
    path = config(text)
    assert problems(read) == [said.format(path, parent=path.parent)]


def test_a_broken_file_is_told_with_its_line(read: Read, config: Config) -> None:
    """TOML that cannot be parsed stops the start, with file and line."""
    path = config("[server]\nport = = 1\n")
    (problem,) = problems(read)
    assert problem.startswith(f"{path}: not valid TOML: ")
    assert "line 2" in problem


def test_a_file_that_is_not_text_is_told(read: Read, config: Config) -> None:
    """A file in another encoding is named, not a traceback."""
    path = config("")
    path.write_bytes(b"\xff\xfe[\x00")
    assert problems(read) == [f"{path}: not UTF-8 text; save it as UTF-8"]


def test_a_named_file_has_to_exist(read: Read, tmp_path: Path) -> None:
    """Only the data folder's own file is optional."""
    named = tmp_path / "none.toml"
    assert problems(read, CHATGPT_TO_API_CONFIG="none.toml") == [
        f"CHATGPT_TO_API_CONFIG: {named}: No such file or directory"
    ]
    with pytest.raises(ConfigError, match=r"^--config: "):
        read(options={"config_file": "none.toml"})


def test_a_named_file_may_name_the_data_folder(tmp_path: Path) -> None:
    """Relative to the file; a variable still wins."""
    file = tmp_path / "etc" / "gateway.toml"
    file.parent.mkdir()
    file.write_text("data_dir = 'state'\n[tokens]\naccess_tokens_file = 't.json'\n")
    environ = {"CHATGPT_TO_API_CONFIG": "etc/gateway.toml"}
    loaded = load(environ=environ, folder=tmp_path)
    assert loaded.settings.data_dir == str(tmp_path / "etc" / "state")
    assert loaded.settings.config_file == str(file)
    assert loaded.settings.tokens.access_tokens_file == str(tmp_path / "etc" / "t.json")
    assert loaded.origins["data_dir"] == str(file)
    loaded = load(environ=environ, folder=tmp_path, options={"data_dir": "given"})
    assert loaded.settings.data_dir == str(tmp_path / "given")
    assert loaded.origins["data_dir"] == "option --data-dir"


def test_dotenv_means_what_stands_there(read: Read, tmp_path: Path) -> None:
    """Quotes and comments are understood; a dollar sign in a password is a dollar sign."""
    (tmp_path / ".env").write_text(
        "\ufeff# a comment\nexport ADMIN_PASSWORD='p${HOME}$x #1'\nPUID=user-1 # mine\n\nPORT\n",
        encoding="utf-8",
    )
    settings = read().settings
    assert settings.admin.password == Secret("p${HOME}$x #1")
    assert settings.conversation_default.puid == Secret("user-1")


def test_a_broken_dotenv_line_is_told(read: Read, tmp_path: Path) -> None:
    """A line that is no assignment stops the start, without showing what it holds."""
    (tmp_path / ".env").write_text("SERVER_PORT=1\nADMIN PASSWORD=hunter2\n")
    assert problems(read) == [f"{tmp_path / '.env'}, line 2: expected NAME=VALUE"]


def test_puid_and_pace_hold_for_the_official_backend_too(read: Read) -> None:
    """Without API_REVERSE_PROXY the variables describe the backend that tokens are used with."""
    settings = read(PUID="user-X", API_RATE_LIMIT="5/10s", ENABLE_HISTORY="on").settings
    assert settings.upstreams == {}
    default = settings.conversation_default
    assert default.base_url == "https://chatgpt.com/backend-api/conversation"
    assert (default.puid, default.rate_limits, default.history) == (
        Secret("user-X"),
        ("5/10s",),
        True,
    )


def test_a_variable_changes_one_field_of_the_files_upstream(read: Read, config: Config) -> None:
    """API_REVERSE_PROXY moves [upstreams.conversation]; its other fields stay."""
    config("[upstreams.conversation]\nbase_url = 'http://a/conversation'\npuid = 'user-1'\n")
    upstream = read(API_REVERSE_PROXY="http://b/conversation").settings.upstreams["conversation"]
    assert (upstream.base_url, upstream.puid) == ("http://b/conversation", Secret("user-1"))


def test_a_variable_for_an_upstream_of_another_kind_is_refused(read: Read, config: Config) -> None:
    """API_REVERSE_PROXY cannot mean an upstream that is no conversation backend."""
    path = config("[upstreams.conversation]\nkind = 'openai'\nbase_url = 'http://a/v1'\n")
    assert problems(read, API_REVERSE_PROXY="http://b/conversation") == [
        f"API_REVERSE_PROXY: speaks of [upstreams.conversation], which {path} gives the kind openai"
    ]


def test_the_openai_variables_make_an_upstream(read: Read) -> None:
    """OPENAI_BASE_URL with OPENAI_API_KEY is an upstream; a final slash does not matter."""
    upstream = read(OPENAI_BASE_URL="https://api.example/v1/", OPENAI_API_KEY="sk-1").settings
    assert upstream.upstreams["openai"].base_url == "https://api.example/v1"
    assert upstream.upstreams["openai"].api_keys == (Secret("sk-1"),)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"OPENAI_API_KEY": "sk-1"},
            "OPENAI_API_KEY is not used: set OPENAI_BASE_URL too for an upstream with it.",
        ),
        (
            {"OPENAI_BASE_URL": "http://localhost:8080/v1", "OPENAI_API_KEY": "sk-1"},
            "OPENAI_BASE_URL points at this gateway itself and is left out.",
        ),
        (
            {"API_REVERSE_PROXY": "https://x/backend-api"},
            "API_REVERSE_PROXY does not end in /conversation; it has to be the whole URL that "
            "conversations are posted to.",
        ),
        (
            {"OPENAI_BASE_URL": "https://x/v1/chat/completions"},
            "OPENAI_BASE_URL ends in /chat/completions, which the gateway adds itself: leave that "
            "out.",
        ),
        (
            {"CHATGPT_TO_API_QUEU_WAIT": "1"},
            "CHATGPT_TO_API_QUEU_WAIT is no variable of this program; did you mean "
            "CHATGPT_TO_API_QUEUE_WAIT?",
        ),
    ],
)
def test_what_may_be_meant_otherwise_is_a_warning(
    read: Read, environ: dict[str, str], said: str
) -> None:
    """Settings that look mistaken but can be lived with do not stop the start."""
    assert read(**environ).warnings == (said,)


def test_an_ollama_server_at_its_other_api_is_a_warning(read: Read, config: Config) -> None:
    """``/v1`` is what every other kind wants to hear."""
    config("[upstreams.home]\nkind = 'ollama'\nbase_url = 'http://127.0.0.1:11434/v1/'\n")
    assert read().warnings == (
        "upstreams.home.base_url ends in /v1, where Ollama has its OpenAI-compatible API: leave "
        "that out, or make it an upstream of kind openai.",
    )


def test_a_misspelt_name_in_dotenv_is_a_warning(read: Read, tmp_path: Path) -> None:
    """It would do nothing; names that are like none of ours may be another program's."""
    (tmp_path / ".env").write_text("EMBEDED_MODEL=off\nAPI_REVERSEPROXY=x\nTZ=UTC\n")
    assert read(SERVER_PROT="1").warnings == (
        "API_REVERSEPROXY is no variable of this program; did you mean API_REVERSE_PROXY?",
        "EMBEDED_MODEL is no variable of this program; did you mean EMBEDDED_MODEL?",
    )


def test_a_file_of_a_windows_editor_is_read(read: Read, config: Config) -> None:
    """Some put a byte order mark before the first section."""
    config("").write_bytes(b"\xef\xbb\xbf[server]\r\nport = 9000\r\n")
    assert read().settings.server.port == 9000


def test_conversation_variables_without_their_upstream_are_a_warning(
    read: Read, config: Config
) -> None:
    """PUID does not silently fail to reach an upstream of another name."""
    config("[upstreams.mine]\nkind = 'conversation'\nbase_url = 'http://a/conversation'\n")
    assert read(PUID="user-1").warnings == (
        "PUID has no effect: it speaks of [upstreams.conversation]; set puid in [upstreams.mine].",
    )


def test_a_conversation_backend_that_is_the_gateway_itself_is_refused(read: Read) -> None:
    """A gateway in front of itself would call itself for ever."""
    assert problems(read, API_REVERSE_PROXY="http://127.0.0.1:9/conversation", PORT="9") == [
        "API_REVERSE_PROXY: points at this gateway itself"
    ]


def test_a_secret_file_has_to_hold_something(read: Read, config: Config, tmp_path: Path) -> None:
    """An empty or endless file is no secret."""
    path = config("[admin]\npassword = 'file:p'\n")
    (tmp_path / "data" / "p").write_text("\n")
    assert problems(read) == [
        f"admin.password (in {path}): the file {tmp_path / 'data' / 'p'} it refers to is empty"
    ]
    (tmp_path / "data" / "p").write_text("x" * 70_000)
    assert "over 65536 characters" in problems(read)[0]


def test_the_working_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative data folder does not move when the process changes its directory."""
    monkeypatch.chdir(tmp_path)
    settings = load(environ={"CHATGPT_TO_API_DATA_DIR": "d"}, folder=Path()).settings
    assert settings.data_dir == os.fspath(tmp_path / "d")


BACKEND = "http://127.0.0.1:9/backend-api/conversation"


def test_what_takes_history_is_told_to_who_has_none(read: Read) -> None:
    """A setting that cannot do anything is a warning; one that asks for nothing is none."""
    asked = {"CHATGPT_TO_API_HIDE_CONVERSATIONS": "on_expiry"}
    (warning,) = read(**asked, API_REVERSE_PROXY=BACKEND).warnings
    assert warning == (
        "hide_conversations of [upstreams.conversation] has no effect without history: set "
        "history there, or ENABLE_HISTORY=true."
    )
    assert not read(**asked, API_REVERSE_PROXY=BACKEND, ENABLE_HISTORY="true").warnings
    off = {"CHATGPT_TO_API_CONTINUE_CONVERSATIONS": "false", "API_REVERSE_PROXY": BACKEND}
    assert not read(**off).warnings


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "chats do not go on in its conversations (ENABLE_HISTORY is off)"),
        ({"ENABLE_HISTORY": "true"}, "chats go on in its conversations"),
        (
            {"ENABLE_HISTORY": "true", "CHATGPT_TO_API_HIDE_CONVERSATIONS": "after_use"},
            "chats do not go on in its conversations (they are hidden after use)",
        ),
    ],
)
def test_whether_chats_go_on_is_said_with_the_reason(
    read: Read, environment: dict[str, str], says: str
) -> None:
    """It takes history, and conversations that stay."""
    upstream = read(API_REVERSE_PROXY=BACKEND, **environment).settings.upstreams["conversation"]
    assert upstream.how_chats_go_on == says
    assert upstream.continues is (says == "chats go on in its conversations")
