"""A web server on this machine that misbehaves on request, in front of files or of a bucket."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

RECORD = "/api/records/5235536"
_PIECE = 1 << 14


@dataclass(frozen=True)
class Answer:
    """Instead of the file."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Cut:
    """The connection breaks after so many bytes of the answer."""

    after: int


@dataclass(frozen=True)
class Endless:
    """The file in chunks, again and again, without ever telling a size or an end."""

    times: int = 50


Fault = Answer | Cut | Endless


def throttle(retry_after: str) -> Answer:
    return Answer(429, {"Retry-After": retry_after})


def page(status: int = 200) -> Answer:
    body = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"}, body)


@dataclass
class Request:
    method: str
    path: str
    headers: Message
    status: int = 0


class Server:
    """Serves `files` by path, or what a server on the port `upstream` has.

    Attributes:
        files: Content by path, which begins with a slash.
        heads: Instead of the answer to HEAD, by path.
        token: The query without which nothing is answered, if there is one.
        ranges: Answer range requests.
        heeds_if_range: Send all where If-Range names another version.
        etags: Send an ETag.
        wait_s: After each 16 kB.
        requests: All that came, in order.
    """

    def __init__(self, files: dict[str, bytes] | None = None, upstream: int | None = None) -> None:
        self.files = dict(files or {})
        self.upstream = upstream
        self.heads: dict[str, Answer] = {}
        self.token = ""
        self.ranges = True
        self.heeds_if_range = True
        self.etags = True
        self.wait_s = 0.0
        self.requests: list[Request] = []
        self.asked = threading.Event()
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def fail(self, path: str, *faults: Fault) -> None:
        """Answer the next requests for content at `path` with faults, one each."""
        self._faults[path].extend(faults)

    def fail_always(self, path: str, fault: Fault) -> None:
        self._always[path] = fault

    def next_fault(self, path: str) -> Fault | None:
        if self._faults[path]:
            return self._faults[path].popleft()
        return self._always.get(path)

    def seen(self, path: str, method: str = "GET") -> list[Request]:
        return [one for one in self.requests if one.path == path and one.method == method]

    def publish_record(self, files: dict[str, bytes]) -> None:
        """Serve files as the record does today: sizes, MD5 sums and links in one answer."""
        listing = []
        for name, content in files.items():
            path = f"{RECORD}/files/{name}/content"
            self.files[path] = content
            listing.append(
                {
                    "id": name,
                    "key": name,
                    "size": len(content),
                    "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                    "links": {"self": self.url + path},
                }
            )
        self.files[RECORD] = json.dumps({"id": 5235536, "files": listing}).encode()

    def publish_mirror(self, files: dict[str, bytes], folder: str = "/mirror") -> str:
        """Serve files with a list of checksums; return the address of the folder."""
        for name, content in files.items():
            self.files[f"{folder}/{name}"] = content
        self.files[f"{folder}/SHA256SUMS"] = sums(files)
        return self.url + folder


def sums(files: dict[str, bytes], kind: str = "sha256") -> bytes:
    """Return what ``sha256sum`` writes."""
    lines = [
        f"{hashlib.new(kind, content).hexdigest()}  {name}\n" for name, content in files.items()
    ]
    return "".join(lines).encode()


class _Http(ThreadingHTTPServer):
    owner: Server
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away is part of many tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        owner = self.server.owner
        path = unquote(urlsplit(self.path).path)
        request = Request(self.command, path, self.headers)
        owner.requests.append(request)
        owner.asked.set()
        fault = owner.next_fault(path) if self.command == "GET" else None
        if isinstance(fault, Answer):
            answer = fault
        elif self.command == "HEAD" and path in owner.heads:
            answer = owner.heads[path]
        elif owner.token and urlsplit(self.path).query != owner.token:
            answer = Answer(403)
        elif isinstance(fault, Endless):
            self._never_end(owner.files[path], fault.times)
            return
        elif owner.upstream is not None:
            answer = self._ask(owner.upstream)
        else:
            answer = self._file(owner, path)
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = answer.body[: fault.after] if isinstance(fault, Cut) else answer.body
        for start in range(0, len(body), _PIECE):
            self.wfile.write(body[start : start + _PIECE])
            time.sleep(owner.wait_s)
        if isinstance(fault, Cut):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _never_end(self, content: bytes, times: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):  # the client has had enough
            for _ in range(times):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def _file(self, owner: Server, path: str) -> Answer:
        content = owner.files.get(path)
        if content is None:
            return Answer(404, {"Content-Type": "application/json"}, b'{"status": 404}')
        headers = {"Content-Type": "application/octet-stream"}
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if owner.etags:
            headers["ETag"] = etag
        wanted = self.headers.get("Range")
        other = owner.heeds_if_range and self.headers.get("If-Range", etag) != etag
        if not owner.ranges or wanted is None or other:
            if self.command == "HEAD":
                headers["Content-Length"] = str(len(content))
            return Answer(200, headers, content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return Answer(416, {**headers, "Content-Range": f"bytes */{len(content)}"})
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, {**headers, "Content-Range": span}, content[start:])

    def _ask(self, port: int) -> Answer:
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            upstream.request(self.command, self.path, headers=dict(self.headers.items()))
            response = upstream.getresponse()
            body = response.read()
        finally:
            upstream.close()
        dropped = ("connection", "transfer-encoding", "date", "server")
        headers = {key: value for key, value in response.getheaders() if key.lower() not in dropped}
        return Answer(response.status, headers, body)
