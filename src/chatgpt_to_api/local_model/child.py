"""The child process: llama.cpp's OpenAI-compatible server, for as long as its parent lives.

Run as ``python -m chatgpt_to_api.local_model.child``; the order comes on standard input, whose end
is the parent's end. Standard output takes one line, the report; all else goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, BinaryIO, Final

import msgspec

from chatgpt_to_api.local_model.order import Order, Report

_WARNINGS: Final = 2  # llama.cpp's verbosity: above it, every request writes lines
_LONGEST_ANSWER: Final = 512  # tokens; a small model that loops would else fill its context
_BATCH: Final = 512  # tokens computed at once, llama.cpp's own choice
_HTTP_THREADS: Final = 16  # besides one per answer being written, for those that wait

# The model's own template puts a system message before chats that have none; with it, asked for the
# capital of France it lists French nouns, without it it says Paris.
_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches the whole terminal group; the parent decides when the model may go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    report = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not be taken for the report
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    watch = threading.Thread(target=_end_with, args=(sys.stdin.buffer,))
    watch.start()
    try:
        server = _serve(order)
    except (ImportError, RuntimeError) as error:  # a missing system library is the former
        # What the library itself says of it, the file's name too, it writes from a thread of its
        # own, which the exit may cut off.
        sys.stderr.write(f"Loading {order.model} failed: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    report.write(msgspec.json.encode(Report(server.listening_address)) + b"\n")
    report.close()
    watch.join()


def _serve(order: Order) -> Any:  # the library has no types
    """Load the model and listen. Raises RuntimeError, or ImportError if the runtime cannot load."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order.model
    params.model_alias = {order.name}
    params.hostnames = ["127.0.0.1"]
    params.port = order.port
    params.reuse_port = order.reuse_port
    params.api_keys = [order.api_key]
    params.ui = False
    params.endpoint_slots = False  # it would show one caller's prompt to another
    params.verbosity = _WARNINGS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order.threads
    params.n_threads_http = order.parallel + _HTTP_THREADS
    params.n_parallel = order.parallel
    params.kv_unified = True  # one pool of context, so a long chat is not cut to its share
    params.n_ctx = order.context
    params.n_predict = _LONGEST_ANSWER
    # Embeddings are the mean of what it makes of each token. It costs chats nothing, but an input
    # has to fit into one batch.
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_batch = params.n_ubatch = _BATCH
    params.cache_ram_mib = 0
    params.cache_idle_slots = False  # needs the cache above, and says so at every start
    params.fit_params = False  # nothing to fit: the model is small and stays on the CPU
    params.n_gpu_layers = 0
    params.chat_template = _TEMPLATE
    # What the model's makers advise, for requests that say nothing else; llama.cpp's defaults are
    # for models fifty times its size. The penalties keep it from saying one thing for ever: words
    # by the first, whole paragraphs by DRY.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    params.sampling.dry_multiplier = 0.8
    params.sampling.dry_penalty_last_n = _LONGEST_ANSWER
    return xllamacpp.Server(params)


def _end_with(stdin: BinaryIO) -> None:
    """End the process when the parent closes the pipe or dies, however it dies."""
    stdin.read()
    os._exit(0)


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its parent, even while it is busy loading.

    Linux means the thread that started it, which is the one the parent's event loop runs on.
    """
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
