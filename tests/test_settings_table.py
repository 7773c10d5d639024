"""The README's table of settings is what the code reads, with its defaults and limits."""

from pathlib import Path

import pytest

from killswitch import env, settings_table
from killswitch.settings_table import NotTold, readings, table, written

PAGE = settings_table.README.read_text()


def test_the_readme_has_the_table_as_it_is_now() -> None:
    assert written(PAGE) == PAGE, "run: python -m killswitch.settings_table --write"
    assert table() in PAGE


def test_defaults_limits_and_secrets_are_those_of_the_code() -> None:
    found = readings()
    assert (found["KILL_PATIENCE_SECONDS"].default, found["KILL_PATIENCE_SECONDS"].limits) == ("30", "1 to 3,600")
    assert found["CLEAR_STREET_BASE_URL"].default == "`https://api.clearstreet.com`"
    assert found["HTTPS_ONLY"].default == "`off`"
    assert {name for name, reading in found.items() if reading.is_secret} == set(env.SECRETS)


def test_a_setting_that_nobody_told_of_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings_table, "HERE", tmp_path)
    (tmp_path / "new_settings.py").write_text('from . import env\nNEW = env.number("NEW", 1.0, least=1, most=2)\n')
    with pytest.raises(NotTold, match="NEW"):
        readings()


def test_a_setting_that_nobody_reads_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_table.ABOUT, "GONE", "nothing")
    with pytest.raises(NotTold, match="GONE"):
        readings()
