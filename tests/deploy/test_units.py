"""The units for systemd: what they run is what the containers run, and systemd itself finds no fault in them."""

import os
import shutil
import socket
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.conftest import ROOT, start
from tests.production import PRODUCTION

from .files import OURS, environment_file

UNITS = ROOT / "deploy" / "systemd"
INSTALLED = "/opt/killswitch/.venv/bin/"
SERVICES = sorted(path.stem.removeprefix("killswitch-") for path in UNITS.glob("killswitch-*.service"))


def read(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_there_is_a_unit_for_every_service_of_ours() -> None:
    assert sorted(set(OURS) - {"migrate"}) == SERVICES


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_runs_what_the_container_runs(name: str) -> None:
    command = read(UNITS / f"killswitch-{name}.service")["Service"]["ExecStart"]
    assert command.startswith(INSTALLED)
    assert command.removeprefix(INSTALLED).split() == OURS[name]["command"]
    assert OURS[name].get("oom_score_adj") == _number(read(UNITS / f"killswitch-{name}.service"), "OOMScoreAdjust")
    # 1024 shares are what systemd calls a weight of 100.
    weight = _number(read(UNITS / f"killswitch-{name}.service"), "CPUWeight")
    assert OURS[name].get("cpu_shares", 1024) * 100 == 1024 * (weight or 100)


def _number(unit: ConfigParser, setting: str) -> int | None:
    value = unit["Service"].get(setting)
    return None if value is None else int(value)


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="no systemd here")
def test_what_is_enabled_starts_with_the_machine(tmp_path: Path) -> None:
    """`[Install]` stands in each unit: of what drop-ins with a dash say systemd does not read it."""
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    units = [f"killswitch-{name}.service" for name in SERVICES]
    subprocess.run(["systemctl", f"--root={tmp_path}", "enable", "killswitch.target", *units], check=True, timeout=60)
    assert (installed / "multi-user.target.wants/killswitch.target").is_symlink()
    assert sorted(path.name for path in (installed / "killswitch.target.wants").iterdir()) == sorted(units)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    shutil.copytree("/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    programs = tmp_path / INSTALLED.strip("/")
    programs.mkdir(parents=True)
    for name in ("gunicorn", "celery", "python"):
        (programs / name).touch(0o755)
    units = [str(path) for path in installed.glob("killswitch*.*") if path.is_file() and path.suffix != ".conf"]
    command = ["systemd-analyze", "verify", f"--root={tmp_path}", "--recursive-errors=one", "--man=no", *units]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    assert [line for line in said.splitlines() if "killswitch" in line] == []
    for unit in units:
        if unit.endswith(".service"):
            command = ["systemd-analyze", "security", "--offline=true", f"--root={tmp_path}", "--threshold=20", unit]
            exposed = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert exposed.returncode == 0, exposed.stdout[-500:] + exposed.stderr


def test_the_pages_tell_systemd_when_they_are_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        command = [sys.executable, "-m", "gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
        environment = {**PRODUCTION, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WEB_BIND": "127.0.0.1:0"}
        web = start(command, environment)
        try:
            assert b"READY=1" in manager.recv(1000)
        finally:
            web.terminate()
            web.wait(20)


def test_the_settings_as_they_come_pass_the_check_of_the_page(tmp_path: Path) -> None:
    """By the script that runs manage.py with the settings of the units; the containers have the same ones."""
    assert environment_file(UNITS / "environment") == environment_file(ROOT / "deploy/compose/environment")
    shutil.copy(UNITS / "environment", tmp_path)
    subprocess.run([ROOT / "deploy/compose/make-secrets", tmp_path / "secrets"], check=True, capture_output=True)
    (tmp_path / "secrets" / "clear_street_api_key").write_text("only-to-look-at-settings")
    (tmp_path / "secrets" / "clear_street_api_key").chmod(0o400)
    command = [UNITS / "manage", "check", "--deploy", "--fail-level", "WARNING"]
    environment = {"PATH": os.environ["PATH"], "KILLSWITCH_ETC": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
