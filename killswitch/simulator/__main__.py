"""Run a simulated broker: `python -m killswitch.simulator --port 0 --accounts 200 --orders 20`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import ssl
import sys
from collections.abc import Sequence

from aiohttp import web

from killswitch.simulator.control import CALLS
from killswitch.simulator.faults import DO_WORDS, MATCH_WORDS
from killswitch.simulator.runaway import PREFIX
from killswitch.simulator.server import Broker, Settings
from killswitch.simulator.wire import PAGE_SIZE_MAX, WIRE_2025, WIRE_2026

DEMO_KEY = "simulator-key"


def main(arguments: Sequence[str] | None = None) -> int:
    settings = read_settings(arguments)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        print(
            f"killswitch.simulator: cannot listen on {settings.host}:{settings.port}: {reason}",
            file=sys.stderr,
        )
        return 2
    return 0


async def serve(settings: Settings) -> None:
    broker = Broker(settings)
    # The book stays for the life of the process: keep the collector from walking through it again and again.
    gc.freeze()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    # Not 0, which aiohttp takes for "wait for ever".
    runner = web.ServerRunner(web.Server(broker.handle, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024, ssl_context=tls(settings))
    try:
        await site.start()
        broker.start()
        print(f"listening on {address(runner, settings)}", flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()


def address(runner: web.ServerRunner, settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.certificate else 'http'}://{host}:{runner.addresses[0][1]}"


def tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate, settings.key or None)
    return context


class OneLineParser(argparse.ArgumentParser):
    """Say what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}\n")


FAULT = """\
curl -X POST localhost:7001/_sim/faults -d '{"match": {"call": "cancel_all"}, "do": {"status": 503}, "times": 2}'"""


def steering() -> str:
    """Say what can be asked of a simulator that runs, and which faults it knows."""
    calls = ((*call.split(), words) for call, words in CALLS.items())
    return "\n".join(
        [
            "steering it, from this machine alone:",
            *(f"  {method:<7}/_sim/{path:<15}{words}" for method, path, words in calls),
            "",
            "a fault spoils the requests that it matches, as often as `times` says, after the first `skip`:",
            f"  {FAULT}",
            "",
            "match:",
            *(f"  {name:<14}{words}" for name, words in MATCH_WORDS.items()),
            "do:",
            *(f"  {name:<14}{words}" for name, words in DO_WORDS.items()),
        ]
    )


def read_settings(arguments: Sequence[str] | None) -> Settings:
    parser = OneLineParser(
        "killswitch.simulator",
        description="A stand-in for the Clear Street order API.",
        epilog=steering(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=port, default=0, help="0 takes any that is free (default)")
    add("--accounts", type=whole, default=200)
    add("--orders", type=whole, default=20, help="open orders per account at the start")
    add("--ended", type=whole, default=3, help="ended orders per account at the start")
    add("--seed", type=int, default=1, help="the same seed gives the same book")
    add("--latency-ms", type=positive, default=0.0, help="added to every answer")
    add("--cancel-ms", type=positive, default=200.0, help="from PENDING_CANCEL to CANCELED")
    add("--arrivals-per-second", type=positive, default=0.0, help="new orders, over the whole book")
    add("--fills-per-second", type=positive, default=0.0, help="fills, over the whole book")
    add("--api-key", type=key, help="default: CLEAR_STREET_API_KEY, or simulator-key")
    add("--wire", choices=("auto", WIRE_2025, WIRE_2026), default="auto", help="auto: 2026-11 to the official SDK")
    add("--page-size-max", type=page_size, default=PAGE_SIZE_MAX, help="shortens the pages of every list")
    add("--runaway-after", type=positive, help=f"seconds until an algorithm runs away ({PREFIX}…); by itself none does")
    add("--certificate", default="", metavar="FILE", help="answer by TLS only, with this certificate (PEM)")
    add("--key", default="", metavar="FILE", help="the certificate's private key, where it stands in another file")
    values = vars(parser.parse_args(arguments))
    values["api_key"] = values["api_key"] or os.environ.get("CLEAR_STREET_API_KEY") or DEMO_KEY
    return Settings(**values)


def whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not '{text}'")
    return int(text)


def port(text: str) -> int:
    if whole(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, not '{text}'")
    return int(text)


def page_size(text: str) -> int:
    if not 1 <= whole(text) <= PAGE_SIZE_MAX:
        raise argparse.ArgumentTypeError(f"must be from 1 to {PAGE_SIZE_MAX}, not '{text}'")
    return int(text)


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"must be a number, 0 or more, not '{text}'")
    return value


def key(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


if __name__ == "__main__":
    sys.exit(main())
