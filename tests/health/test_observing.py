"""The dashboard, the alert rules and their page tell of figures that there are."""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from killswitch.audit.models import Anchor, Verification
from killswitch.book.models import Account
from killswitch.health import heartbeats
from killswitch.health.metrics import exposition
from killswitch.kills.models import Kill
from killswitch.kills.told import STEPS
from killswitch.notary.models import Notary
from killswitch.telling.models import Delivery

from .light import shine

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy/prometheus/alerts.yaml"
CASES = Path(__file__).parent / "alerts_cases.yaml"
DASHBOARD = ROOT / "deploy/grafana/killswitch.json"
PAGE = ROOT / "docs/observing.md"

SERIES = re.compile(r"(killswitch_\w+)(?:\{([^}]*)\})?")
MATCH = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"(?:by|on|without)\s*\(([^)]*)\)")
Series = dict[str, dict[str, set[str]]]


@pytest.fixture
def series(db: None) -> Series:
    """Every series that there is when everything is at work: its labels, and their values."""
    now = timezone.now()
    shine()
    for who in ("worker", "watchdog"):
        heartbeats.note(who, "host", sent_at=now)
    Account.objects.create(account_id=1, listed_at=now)
    Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=now, engaged_by_name="desk", scope="all orders")
    Verification.objects.create(state=Verification.State.HOLDS, ended_at=now, last=1)
    Anchor.objects.create(sequence=1, hash="0" * 64, at=now, key="k", signature="s")
    Notary.objects.create(host="host", seen_at=now, key="k")
    Delivery.objects.create(key="k", name="mail 1", followed=0, seen_at=now)
    found: Series = {}
    for family in text_string_to_metric_families(exposition().decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def queries() -> Iterator[tuple[str, str]]:
    """Yield every expression, with the text that names its labels."""
    for rule in rules():
        yield rule["expr"], " ".join(rule["annotations"].values())
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def test_everything_that_is_asked_for_is_told(series: Series) -> None:
    asked = list(queries())
    assert len(asked) > 40
    for expression, legend in asked:
        names = SERIES.findall(expression)
        assert names or "up{" in expression, expression
        known = {label for name, _ in names for label in series.get(name, {})}
        for name, matches in names:
            assert name in series, f"{expression}: there is no {name}"
            for label, how, value in MATCH.findall(matches):
                assert label in series[name], f"{expression}: {name} has no label {label}"
                wanted = value.split("|") if "~" in how else [value]
                assert set(wanted) <= series[name][label], f"{expression}: no {name} with {label}={value}"
        named = {label.strip() for part in GROUPED.findall(expression) for label in part.split(",") if label.strip()}
        named |= set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", legend))
        assert named <= known, f"{expression}: no label {named - known}"


def test_every_figure_is_explained_on_the_page_and_no_other(series: Series) -> None:
    told = set(re.findall(r"`(killswitch_\w+)`", PAGE.read_text()))
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series}
    assert told == there


def test_every_rule_and_every_step_is_explained_on_the_page() -> None:
    page = PAGE.read_text()
    ours = ("pressed", "pressed_again", "rung", "not_rung", "claimed", "first_delete", *STEPS.values())
    assert [name for name in ours if f"`{name}`" not in page] == []
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []
    assert set(re.findall(r"`(Killswitch\w+)`", page)) == {rule["alert"] for rule in rules()}


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_the_panels_of_the_dashboard_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.skipif(not (shutil.which("promtool") or os.environ.get("CI")), reason="needs promtool")
def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(CASES)]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
