"""``chat``: one-shot, piped, as a conversation; stopped, refused, broken off, nobody there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.gateway_process import (
    clean_environment,
    command,
    gateway_process,
    run_command,
)
from support.scripted_backend import Play, conversation, conversation_events, json_play
from support.stage import Stage, stage

if os.name == "posix":
    import pty


def test_one_question_is_answered_and_it_ends(shared: Stage) -> None:
    """The answer alone stands on standard output."""
    shared.script = lambda seen: conversation("Hel", "lo\nthere")
    done = shared.run("chat", "hi", "--system", "Be brief.")
    assert (done.returncode, done.stdout) == (0, "Hello\nthere\n")
    [part] = shared.backend.seen[-1].json["messages"][0]["content"]["parts"]
    assert "Be brief." in part and "hi" in part


def test_what_is_piped_in_is_one_question(shared: Stage) -> None:
    """All of it, lines included."""
    shared.script = lambda seen: conversation("fine")
    for arguments in ((), ("-",)):
        done = shared.run("chat", *arguments, input="line one\nline two\n")
        assert (done.returncode, done.stdout) == (0, "fine\n")
        [part] = shared.backend.seen[-1].json["messages"][0]["content"]["parts"]
        assert "line one\nline two" in part


def test_no_question_is_wrong_usage(shared: Stage) -> None:
    """An empty pipe asks nothing."""
    done = shared.run("chat", input="")
    assert done.returncode == 2
    assert "no question" in done.stderr


def test_a_refusal_is_the_gateways_own_sentence(shared: Stage) -> None:
    """With the code for refusals."""
    done = shared.run("chat", "hi", "--model", "no-such-model")
    assert done.returncode == 5
    assert "no-such-model" in done.stderr and "404" in done.stderr
    assert done.stdout == ""


def test_a_broken_answer_is_shown_and_told(shared: Stage) -> None:
    """What came stays; the sentence says that it is not whole."""
    shared.script = lambda seen: Play(pieces=conversation_events(["Hel"])[:1], end="close")
    done = shared.run("chat", "hi")
    assert done.returncode == 1
    assert done.stdout == "Hel\n"
    assert "broke off" in done.stderr


def test_without_a_gateway_it_says_how_to_start_one(empty: Path) -> None:
    """And makes no folder."""
    done = run_command("chat", "hi", data_dir=empty, SERVER_PORT="1")
    assert done.returncode == 4
    assert "chatgpt-to-api serve" in done.stderr
    assert not empty.exists()


def test_a_gateway_that_has_nothing_to_answer_with_is_told_as_that(empty: Path) -> None:
    """To start another one would not help."""
    with gateway_process(empty, EMBEDDED_MODEL="off") as gateway:
        assert gateway.port
        done = run_command("chat", "hi", data_dir=empty)
    assert done.returncode == 1
    assert "chatgpt-to-api doctor says what to do" in done.stderr
    assert "chatgpt-to-api serve" not in done.stderr


def test_a_wrong_url_is_wrong_usage(empty: Path) -> None:
    """Named by its option."""
    done = run_command("chat", "hi", "--url", "ftp://127.0.0.1", data_dir=empty)
    assert done.returncode == 2
    assert "--url" in done.stderr


def test_the_folders_own_key_opens_its_gateway_and_no_other(tmp_path: Path) -> None:
    """A gateway named by URL gets only the key that is given."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "api_keys.txt").write_text("sk-mine\n")
    with stage(folder) as keyed:
        keyed.put_tokens("tok-a")
        keyed.script = lambda seen: conversation("in")
        url = keyed.gateway.url("")
        assert keyed.run("chat", "hi").stdout == "in\n"
        assert keyed.run("chat", "hi", "--url", url).returncode == 5
        assert keyed.run("chat", "hi", "--url", url, "--key", "sk-mine").stdout == "in\n"
        assert keyed.run("models", "--url", url).returncode == 5


class Terminal:
    """A command on a terminal: what it shows, and what is typed."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.shown = ""

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def until(self, text: str) -> None:
        """Read until ``text`` is shown after what was read before."""
        new = ""
        while text not in new:
            try:
                data = os.read(self._master, 4096)
            except OSError:  # the other side is closed
                data = b""
            assert data, f"it ended before it showed {text!r}:\n{self.shown}"
            new += data.decode().replace("\r\n", "\n")
            self.shown += data.decode()


@contextmanager
def terminal(shared: Stage, *arguments: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=clean_environment(
            CHATGPT_TO_API_DATA_DIR=str(shared.data_dir),
            API_REVERSE_PROXY=shared.backend.url(),
            TERM="dumb",
        ),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # Whoever runs the tests in the background may have told them to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait(30)
        os.close(master)


@pytest.mark.timeout(120)
@pytest.mark.skipif(os.name != "posix", reason="terminals of another kind")
def test_a_conversation_remembers_forgets_stops_and_leaves(shared: Stage) -> None:
    """Turns go along; /reset forgets; Ctrl-C ends the answer only; an error does not end it."""
    shared.script = lambda seen: conversation("first answer")
    with terminal(shared, "chat") as screen:
        screen.until("> ")
        assert "Talking to gpt-3.5-turbo at " in screen.shown
        screen.type("/exti")
        screen.until("stops an answer.\n> ")
        assert "There is no /exti." in screen.shown
        screen.type("question one")
        screen.until("first answer\n> ")

        shared.script = lambda seen: Play(pieces=conversation_events(["half an"])[:1], end="hang")
        screen.type("question two")
        screen.until("half an")
        screen.process.send_signal(signal.SIGINT)
        screen.until("(stopped)\n> ")

        shared.script = lambda seen: conversation("third answer")
        screen.type("question three")
        screen.until("third answer\n> ")
        [part] = shared.backend.seen[-1].json["messages"][0]["content"]["parts"]
        for said in ("question one", "first answer", "question two", "half an", "question three"):
            assert said in part

        screen.type("/reset")
        screen.until("(forgotten)\n> ")
        shared.script = lambda seen: json_play({"detail": "too long"}, 413)
        screen.type("question four")
        screen.until("too long\n> ")
        shared.script = lambda seen: conversation("fifth answer")
        screen.type("question five")
        screen.until("fifth answer\n> ")
        [part] = shared.backend.seen[-1].json["messages"][0]["content"]["parts"]
        assert "question one" not in part and "question four" not in part

        screen.type("/exit")
        assert screen.process.wait(30) == 0
    assert "Traceback" not in screen.shown


@pytest.mark.skipif(os.name != "posix", reason="terminals of another kind")
def test_a_models_words_cannot_steer_the_terminal(shared: Stage) -> None:
    """Escape sequences are left out on a terminal, and kept in a pipe."""
    shared.script = lambda seen: conversation("a\x1b]0;title\x07b")
    assert shared.run("chat", "hi").stdout == "a\x1b]0;title\x07b\n"
    with terminal(shared, "chat", "hi") as screen:
        screen.until("a]0;titleb")
        assert screen.process.wait(30) == 0
