"""Whoever logs waits for nobody, and what is written can be read by programs and shows no secret."""

import json
import logging
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import TextIO

import pytest

from killswitch import logs, redaction
from killswitch.logs import JsonFormatter, PatientHandler, TextFormatter
from killswitch.steps import Step

ID = uuid.UUID(int=7)


def record(message: object, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("killswitch.test", logging.INFO, "test.py", 1, message, arguments, info)


def handler_on(stream: TextIO) -> PatientHandler:
    handler = PatientHandler()
    handler.setStream(stream)
    handler.setFormatter(TextFormatter("{message}", style="{"))
    return handler


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(redaction, "_known", set(redaction._known))
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)
    redaction.hide('hidden"from-all')
    return 'hidden"from-all'


class TestAStep:
    def test_is_key_and_value_where_the_log_is_text(self) -> None:
        told = Step({"step": "ended", "kill": ID, "outcome": "", "ms": None, "latched": False, "by": 'web "x" 1'})
        assert str(told) == rf'step=ended kill={ID} latched=false by="web \"x\" 1"'

    def test_stands_beside_the_other_fields_where_the_log_is_json(self) -> None:
        told = json.loads(JsonFormatter().format(record(Step({"step": "ended", "kill": ID, "orders": 3}))))
        assert told.pop("at").endswith("Z")
        assert told == {"level": "INFO", "logger": "killswitch.test", "step": "ended", "kill": str(ID), "orders": 3}


class TestJson:
    def test_shows_no_secret_and_stays_json(self, secret: str) -> None:
        try:
            raise ValueError(secret)
        except ValueError as error:
            line = JsonFormatter().format(record("a message with %s", secret, error=error))
        told = json.loads(line)
        assert "from-all" not in line
        assert told["message"] == "a message with [hidden]"
        assert "ValueError: [hidden]" in told["traceback"]

    def test_shows_no_secret_in_a_field_of_a_step(self, secret: str) -> None:
        assert json.loads(JsonFormatter().format(record(Step({"person": secret}))))["person"] == "[hidden]"


class TestPatientHandler:
    def test_writes_in_order_and_is_done_when_it_is_flushed(self) -> None:
        handler = handler_on(stream := StringIO())
        for number in range(100):
            handler.handle(record("%s", number))
        handler.flush()
        assert stream.getvalue().split() == [str(number) for number in range(100)]

    def test_keeps_nobody_waiting_for_a_pipe_that_nobody_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "LINES_WAITING", 1000)
        monkeypatch.setattr(logs, "LAST_WORDS", 10)
        reading, writing = os.pipe()
        handler = handler_on(os.fdopen(writing, "w"))
        began = time.monotonic()
        for _ in range(3000):
            handler.handle(record("x" * 200))
        assert time.monotonic() - began < 10
        with os.fdopen(reading) as lines, ThreadPoolExecutor(1) as reader:
            read = reader.submit(list, lines)
            handler.flush()
            handler.stream.close()
            told = [line for line in read.result(10) if "were left out here" in line]
            left_out = sum(int(line.split()[0]) for line in told)
            assert left_out == 3000 - (len(read.result()) - len(told))
        assert left_out > 1000

    def test_writes_in_a_child_as_well(self) -> None:
        reading, writing = os.pipe()
        handler = handler_on(os.fdopen(writing, "w"))
        handler.handle(record("parent"))
        handler.flush()
        # A child of its own: pytest's would go on with the suite.
        child = os.fork()
        if child == 0:
            handler.handle(record("child"))
            handler.flush()
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100).split() == [b"parent", b"child"]
        os.close(reading)
