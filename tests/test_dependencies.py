"""What the audit of the dependencies makes of pip-audit's answers."""

import subprocess
from typing import Any

import pytest

from tests import dependencies

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "0.1", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["0.2"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([SOUND], 0, "1 of 1 pinned packages were audited, and no vulnerability is known"),
        ([SOUND, BAD], 1, "bad 0.1: PYSEC-2026-1"),
        ([UNKNOWN, BAD], 1, "KNOWN VULNERABILITIES (1 of 2"),
        (
            [SOUND, UNKNOWN],
            0,
            "NOT ALL AUDITED: 1 of 2 pinned packages were audited. The service does not know: unknown",
        ),
        ([], 0, "NOT ALL AUDITED"),
    ],
)
def test_fails_for_what_is_known_and_says_what_it_did_not_look_at(
    found: list[dict[str, Any]], status: int, said: str
) -> None:
    text, ended = dependencies.verdict(found)
    assert ended == status
    assert said in text


@pytest.mark.parametrize("answer", ["", "no JSON", "{}"])
def test_says_loudly_that_there_was_no_answer(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 1, answer, "ConnectionError: Failed to resolve the host")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert dependencies.main() == 0
    assert "DEPENDENCIES WERE NOT AUDITED: ConnectionError" in capsys.readouterr().err
