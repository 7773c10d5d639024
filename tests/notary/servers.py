"""Servers to bring anchors to, as small as they go: HTTP (which is S3, too) and SMTP."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Arrived:
    """A request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Http:
    """An HTTP server that answers as it is told, and keeps what came."""

    url: str = ""
    arrived: list[Arrived] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # the next ones; 200 after the last
    drip: threading.Event | None = None  # set: a byte now and then, and no answer, until the event


@contextmanager
def http_server() -> Iterator[Http]:
    state = Http()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.arrived.append(
                Arrived(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            )
            if state.drip is not None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not state.drip.wait(0.05):
                    self.wfile.write(b"x")
                self.close_connection = True
                return
            self.send_response(state.answers.pop(0) if state.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that gave up

    with Server(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield state
        if state.drip is not None:
            state.drip.set()
        server.shutdown()


@dataclass
class Smtp:
    """A mail server that keeps what it takes, and refuses as long as it is told to."""

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list)
    refuses: bool = False
    logins: list[str] = field(default_factory=list)


@contextmanager
def smtp_server() -> Iterator[Smtp]:
    state = Smtp()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 here")
            recipients: list[str] = []
            while line := self.rfile.readline().decode().strip():
                verb = line[:4].upper()
                if verb == "EHLO":
                    self.say("250-here")
                    self.say("250 AUTH PLAIN")
                elif verb == "AUTH":
                    state.logins.append(line)
                    self.say("235 yes")
                elif verb == "MAIL" and state.refuses:
                    self.say("452 disk full")
                elif verb == "RCPT":
                    recipients.append(line.partition("<")[2].partition(">")[0])
                    self.say("250 yes")
                elif verb == "DATA":
                    self.say("354 go on")
                    state.mails.append((recipients, self._data()))
                    recipients = []
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 yes")

        def _data(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return b"".join(lines)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield state
        server.shutdown()
