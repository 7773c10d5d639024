"""All output of the suite is looked through for its secrets: one that shows up fails the test that it showed up in.

Looked through are what pytest captures, what processes write into files or hand over when they end, and what pages say.
The secrets of the tests are made to be found: each has MARK in it.
"""

import os
import subprocess
from typing import Any

import pytest
from django.test import Client

MARK = "never-shown-9f3c"
API_KEY = f"sk-{MARK}-of-the-broker"
SECRET_KEY = f"{MARK}-of-django-0123456789-abcdefghijklmnopqrstuvwxyz"

_found: list[str] = []
_followed: list["_Output"] = []
_begin, _communicate, _request = subprocess.Popen.__init__, subprocess.Popen.communicate, Client.request


class _Output:
    """A file that a process writes to, held open: it may be removed before anybody looks."""

    def __init__(self, process: "subprocess.Popen[Any]", file: Any) -> None:
        self.process = process
        name = getattr(file, "name", None)
        self._descriptor = os.open(name, os.O_RDONLY) if isinstance(name, str) else os.dup(file.fileno())
        self._read = 0

    def look(self) -> None:
        # Some of what was read before once more: a secret may have been written in two parts.
        self._read = max(0, self._read - len(MARK))
        while part := os.pread(self._descriptor, 1_000_000, self._read):
            look(part, f"what process {self.process.args!r:.200} wrote")
            self._read += len(part)
            if len(part) < 1_000_000:
                break
            self._read -= len(MARK)

    def close(self) -> None:
        os.close(self._descriptor)


def look(output: str | bytes | None, where: str) -> None:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    if MARK in text:
        at = text.index(MARK)
        around = text[max(0, at - 200) : at + 100].replace(MARK, "[the mark]")
        _found.append(f"{where} shows a secret: … {around} …")


def install() -> None:
    """Follow every process from now on, and every page that the test client asks for."""

    def begin(self: "subprocess.Popen[Any]", *arguments: Any, **options: Any) -> None:
        _begin(self, *arguments, **options)
        for file in (options.get("stdout"), options.get("stderr")):
            if hasattr(file, "fileno"):
                _followed.append(_Output(self, file))

    def communicate(self: "subprocess.Popen[Any]", *arguments: Any, **options: Any) -> Any:
        outputs = _communicate(self, *arguments, **options)
        for output in outputs:
            look(output, f"what process {self.args!r:.200} said")
        return outputs

    def request(self: Client, **options: Any) -> Any:
        answer = _request(self, **options)
        look(str(answer.headers), f"the headers of {options.get('PATH_INFO')}")
        if not answer.streaming:
            look(answer.content, f"the page {options.get('PATH_INFO')}")
        return answer

    subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
    subprocess.Popen.communicate = communicate  # type: ignore[method-assign]
    Client.request = request  # type: ignore[method-assign]


def found_since() -> list[str]:
    """Look at what processes have written since the last time. Return what was found, and forget it."""
    for output in list(_followed):
        has_ended = output.process.poll() is not None
        output.look()
        if has_ended:
            output.close()
            _followed.remove(output)
    found = list(dict.fromkeys(_found))
    _found.clear()
    return found


def fail_on_secrets(report: pytest.TestReport) -> None:
    """Look at a report, and once a test has ended at all that was written meanwhile."""
    for title, text in report.sections:
        look(text, title)
    if report.when == "teardown" and (found := found_since()) and report.outcome != "failed":
        report.outcome = "failed"
        report.longrepr = "\n\n".join(found)
