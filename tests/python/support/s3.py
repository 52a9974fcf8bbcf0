"""An S3-compatible server in a process of its own, and a proxy that makes it fail, hang or lie."""

import http.client
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self
from urllib.parse import urlsplit

import httpx

from support.brokers import free_port
from support.wait import eventually

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "turbine-test-key",
    "AWS_SECRET_ACCESS_KEY": "turbine-test-secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# For Google's client, of whose tokens moto knows nothing; at signatures it does not look.
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={CREDENTIALS['AWS_ACCESS_KEY_ID']}/20260101/us-east-1/s3/"
    "aws4_request, SignedHeaders=host, Signature=0"
)
_TIMEOUT_S = 10.0


class S3:
    """moto's server on loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> Self:
        """Wait until it answers."""
        eventually(self._answers, 60, "moto's server answers")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, "moto's server has ended"
        try:
            return httpx.get(f"{self.address}/moto-api/", timeout=1).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def make_bucket(self, name: str) -> None:
        httpx.put(f"{self.address}/{name}", timeout=_TIMEOUT_S).raise_for_status()

    def keys(self, bucket: str) -> list[str]:
        """Names of all objects."""
        listed = httpx.get(f"{self.address}/{bucket}?list-type=2", timeout=_TIMEOUT_S).text
        return [part.split("</Key>")[0] for part in listed.split("<Key>")[1:]]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class _Handler(BaseHTTPRequestHandler):
    proxy: ClassVar["Proxy"]

    def _pass_on(self) -> None:
        proxy, length = self.proxy, int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        proxy.asked += 1
        time.sleep(proxy.delay_s)
        if proxy.status is not None and proxy.refusals_left > 0:
            proxy.refusals_left -= 1
            self._answer(proxy.status, [], b"<Error><Code>SlowDown</Code></Error>")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=_TIMEOUT_S)
        try:
            # Names and values go on as they came: some are not ASCII words of http.client's.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self._headers():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if self.command == "GET" and proxy.lies_about in self.path:
            content = proxy.lie(content)
        self._answer(answer.status, answer.getheaders(), content)

    def _headers(self) -> Iterator[tuple[str, str]]:
        given = self.headers.get("Authorization", "Bearer")
        if given.startswith("Bearer"):
            yield "Authorization", SIGNED
        for name, value in self.headers.items():
            if not value.startswith("Bearer"):
                yield name, value

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _pass_on  # noqa: N815 - names of the base class

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


class Proxy:
    """
    A way to a server that can be made worse.

    Attributes:
        status: What it answers instead of asking the server, if anything.
        refusals_left: How often it does that; for ever unless it is said.
        delay_s: How long it waits before each answer.
        lies_about: Part of the paths whose content it changes; a path has every empty string.
        asked: Requests so far.
    """

    def __init__(self, port: int) -> None:
        self.port, self.delay_s, self.asked = port, 0.0, 0
        self.status: int | None = None
        self.refusals_left: float = math.inf
        self.lies_about = "\0"
        self.lie: Callable[[bytes], bytes] = bytes
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def proxy_to(s3: S3) -> Iterator[Proxy]:
    """A `Proxy` in front of *s3*, for the length of a block."""
    assert urlsplit(s3.address).port == s3.port
    proxy = Proxy(s3.port)
    try:
        yield proxy
    finally:
        proxy.stop()
