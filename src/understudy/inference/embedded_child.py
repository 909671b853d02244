"""The embedded model's own process: `python -m understudy.inference.embedded_child`.

Reads one line of JSON from stdin (`model`, `api_key`, `context_window`, `threads`), starts the engine's server on
loopback, answers with one line of JSON (`address`, or `error`), and lives until stdin ends. The key comes through
stdin because everybody can read a command line.
"""

import json
import os
import sys
from typing import Any

from understudy.orphans import die_with_parent

_PROMPT_CACHE_MIB = 512  # threads put aside while another one talks; one of 8,192 tokens takes 235 MiB
_ALIAS = "embedded"

# What the model's own authors recommend (its generation_config). Without them a small model is led astray by unlikely
# tokens, and repeats itself to the end of its window.
_TOP_K, _TOP_P, _REPEAT = 20, 0.8, 1.1


def main() -> None:
    """Serve until the parent goes away."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the engine writes its log to stdout, which is the parent's channel
    settings = json.loads(sys.stdin.readline())
    try:
        server = _serve(settings)
    except Exception as fault:
        print(json.dumps({"error": str(fault)}), file=answers, flush=True)
        os._exit(1)
    print(json.dumps({"address": server.listening_address}), file=answers, flush=True)
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)  # the server's own end waits for a running completion


def _serve(settings: dict[str, Any]) -> Any:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read at import; spinning threads cost 20 times the speed when busy
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {_ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["api_key"]]
    params.n_ctx = settings["context_window"]
    params.n_parallel = 1
    params.cache_prompt = True
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.ui = False
    params.endpoint_slots = False
    params.warmup = False
    params.verbosity = 1
    params.sampling.top_k, params.sampling.top_p = _TOP_K, _TOP_P
    params.sampling.penalty_repeat = _REPEAT
    if settings.get("threads"):
        params.cpuparams.n_threads = settings["threads"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
