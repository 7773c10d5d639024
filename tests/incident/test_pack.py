"""The incident pack: unzipped, and held against the kill's page, its JSON, and the audit trail."""

import hashlib
import io
import re
import subprocess
import sys
import tracemalloc
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import ROLES
from killswitch.audit import chain, guard
from killswitch.audit.models import Anchor, AnchorKey, Entry, Kind, Verification
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.rows import sealed
from killswitch.incident.pack import take
from killswitch.incident.timeline import NEAR
from killswitch.kills.models import Kill, KilledOrder, Outcome, State
from killswitch.kills.reasons import give_reason
from killswitch.simulator.process import SimulatorProcess
from orders_ui.papers import draw
from tests.audit.evidence import run, seal_anew
from tests.kills.agreement import open_orders
from tests.kills.conftest import Press
from tests.orders_ui.conftest import client_of

from .conftest import TakePack, add, end, make_kill, tell

FIRST = 19816
SOMEBODY = Actor(id=7, name="carla", source="web")


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("</head>")[2]).split())


def anchor_at(sequence: int) -> Anchor:
    """Anchor an entry, with a signature that says nothing."""
    entry = Entry.objects.get(pk=sequence)
    AnchorKey.objects.get_or_create(
        key="0123456789abcdef", defaults={"public": "-----BEGIN PUBLIC KEY-----", "first_used_at": timezone.now()}
    )
    return Anchor.objects.create(
        sequence=sequence, hash=entry.hash, at=timezone.now(), key="0123456789abcdef", signature="c2lnbmVk"
    )


@pytest.mark.django_db
def test_does_not_call_entries_fixed_by_an_anchor_that_they_contradict(take_pack: TakePack) -> None:
    kill = make_kill()
    end(kill, State.FLAT)
    last = anchor_at(Entry.objects.latest("id").id)
    assert f"fixed by the anchor of entry {last.sequence}" in take_pack(kill).text("summary.html")
    guard.remove(connection)
    run("UPDATE audit_entry SET sentence = 'nothing happened' WHERE id = 2")
    seal_anew(2)
    guard.install(connection)
    files = take_pack(kill)
    for name in ("summary.html", "README.txt"):
        assert "THE AUDIT TRAIL DOES NOT HOLD" in files.text(name)
        assert "fixed by the anchor" not in files.text(name)


@pytest.mark.django_db(transaction=True)
class TestFinishedKill:
    """A kill as it is carried out against the simulator: some orders late, one that filled on the way, one stuck."""

    @pytest.fixture
    def simulator(self, make_simulator: Callable[..., SimulatorProcess]) -> SimulatorProcess:
        return make_simulator("--accounts", "3", "--orders", "12", "--cancel-ms", "60")

    @pytest.fixture
    def killed(self, simulator: SimulatorProcess, impatient: None, kill: Press) -> Kill:
        filled = simulator.control.add_orders(FIRST, order={"status": "NEW", "quantity": "70", "limit_price": "10"})
        simulator.control.add_fault(match={"call": "list_orders", "account_id": FIRST + 1}, do={"arrive": 2}, times=1)
        simulator.control.add_fault(match={"order_id": filled[0]["id"]}, do={"cancel": "fill"})
        [stuck] = simulator.control.add_orders(FIRST + 1, order={"status": "NEW"})
        simulator.control.add_fault(match={"order_id": stuck["id"]}, do={"cancel": "stuck"})
        ids = [order["id"] for order in [*open_orders(simulator, FIRST), *open_orders(simulator, FIRST + 1)]]
        assert {filled[0]["id"], stuck["id"]} <= set(ids)
        return kill(account=[FIRST, FIRST + 1], side=[], status=["NEW"], reason="=1+1")

    def test_agrees_with_its_page_its_json_and_the_trail(
        self, killed: Kill, take_pack: TakePack, compliance: Client
    ) -> None:
        told = compliance.get(f"/kills/{killed.id}.json").json()
        page = plain(compliance.get(f"/kills/{killed.id}/").content.decode())
        files = take_pack(killed)
        orders = files.table("orders.csv")
        assert told["outcomes"]["stuck"] == 1
        assert {row["order_id"]: row["outcome"] for row in orders} == {
            order["order_id"]: order["outcome"] for order in told["orders"]
        }
        same = ("symbol", "side", "order_type", "time_in_force", "quantity", "leaves_quantity", "price", "stop_price")
        for row, order in zip(orders, told["orders"], strict=True):
            assert {name: row[name] for name in same} == {name: order[name] or "" for name in same}
        assert {row["account_id"]: row["state"] for row in files.table("accounts.csv")} == {
            str(sweep["account_id"]): sweep["state"] for sweep in told["sweeps"]
        }
        summary = plain(files.text("summary.html"))
        for outcome, count in told["outcomes"].items():
            assert f"{Outcome(outcome).label} {count} " in summary
            assert f"{Outcome(outcome).label} {count} " in page
        for figure in ("First DELETE announced", "Every account answered", "Every account flat", "Got away"):
            found = re.search(rf"{figure} (\S+ \S+ \S+)", page.partition("Cancels sent")[2])
            assert found is None or found[0] in summary, figure

    def test_has_what_arrived_late_and_what_got_away(self, killed: Kill, take_pack: TakePack) -> None:
        files = take_pack(killed)
        late = KilledOrder.objects.filter(is_late=True)
        assert {row["order_id"] for row in files.table("late-arrivals.csv")} == {order.order_id for order in late}
        lost = KilledOrder.objects.filter(lost_quantity__isnull=False).exclude(lost_quantity="0")
        rows = files.table("lost-races.csv")
        assert {(row["order_id"], Decimal(row["lost_quantity"])) for row in rows} == {
            (order.order_id, order.lost_quantity) for order in lost
        }
        assert "70" in {row["lost_quantity"] for row in rows}

    def test_has_the_entries_as_they_stand_in_the_chain(self, killed: Kill, take_pack: TakePack) -> None:
        last = Entry.objects.latest("id").id
        tell_of_something_else(3)
        anchor = anchor_at(last + 2)
        files = take_pack(killed)
        lines = files.contents["entries.jsonl"].splitlines()
        rows = {row.sequence: row for row in sealed(Entry.objects.all())}
        mine = set(Entry.objects.filter(kill_id=killed.id, id__lte=last).values_list("id", flat=True))
        first = min(mine)
        assert lines == [
            rows[number].line if number in mine else rows[number].skeleton for number in range(first, last + 3)
        ]
        assert files.lines("anchors.jsonl")[0]["sequence"] == anchor.sequence
        assert b"BEGIN PUBLIC KEY" in files.contents["public-key.pem"]

    def test_has_a_chain_that_its_own_verifier_follows(self, killed: Kill, take_pack: TakePack, tmp_path: Path) -> None:
        files = take_pack(killed)
        for name, content in files.contents.items():
            (tmp_path / name).write_bytes(content)
        command = [sys.executable, "-I", "verify_export.py", "entries.jsonl"]
        whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert whole.returncode == 0, whole
        text = (tmp_path / "entries.jsonl").read_text()
        (tmp_path / "entries.jsonl").write_text(text.replace('"outcome":"stuck"', '"outcome":"canceled"', 1))
        spoilt = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert spoilt.returncode != 0

    def test_has_a_timeline_from_the_press_to_the_end(self, killed: Kill, take_pack: TakePack) -> None:
        moments = take_pack(killed).table("timeline.csv")
        kinds = Counter(row["kind"] for row in moments)
        assert moments[0]["kind"] == Kind.KILL_ENGAGED
        assert moments[-1]["kind"] == Kind.KILL_ENDED
        assert kinds[Kind.ATTEMPT_ANNOUNCED] == kinds[Kind.ATTEMPT_ANSWERED] == kinds[Kind.SWEEP_ENDED] == 2
        assert kinds[Kind.ORDER_ARRIVED] == KilledOrder.objects.filter(is_late=True).count()
        answered = [row["at"] for row in moments if row["kind"] == Kind.ATTEMPT_ANSWERED]
        kept = [sweep.first_answer_at for sweep in killed.sweeps.all()]
        assert sorted(answered) == sorted(chain.time_text(at) for at in kept if at)


def tell_of_something_else(count: int) -> None:
    append([Draft(kind=Kind.LOGGED_IN, at=timezone.now(), sentence="somebody logged in")] * count)


class TestPack:
    @pytest.fixture
    def killed(self, db: None) -> Kill:
        killed = make_kill()
        add(killed, "1")
        end(killed, State.NOT_FLAT)
        return killed

    def test_is_called_by_its_day_and_id(self, killed: Kill, compliance: Client) -> None:
        response = compliance.get(f"/kills/{killed.id}/pack.zip")
        day = f"{killed.engaged_at:%Y-%m-%d}"
        assert response["Content-Disposition"] == f'attachment; filename="killswitch-{day}-{str(killed.id)[:8]}.zip"'
        assert response["Content-Type"] == "application/zip"
        assert response["Cache-Control"] == "no-store"
        assert int(response["Content-Length"]) == len(b"".join(response.streaming_content))

    @pytest.mark.parametrize("who", [*ROLES, "no role"])
    @pytest.mark.parametrize("page", ["pack.zip", "summary/"])
    def test_is_for_those_who_read_the_trail(self, who: str, page: str, killed: Kill) -> None:
        client = client_of("x", "" if who == "no role" else who)
        response = client.get(f"/kills/{killed.id}/{page}")
        b"".join(getattr(response, "streaming_content", ()))  # which closes the file
        assert response.status_code == (200 if who == "compliance" else 403)
        assert Entry.objects.filter(kind=Kind.DENIED).exists() is (who != "compliance")

    def test_is_not_linked_for_anybody_else(self, killed: Kill, desk: Client, compliance: Client) -> None:
        link = f"/kills/{killed.id}/pack.zip"
        assert link in compliance.get(f"/kills/{killed.id}/").content.decode()
        assert link not in desk.get(f"/kills/{killed.id}/").content.decode()

    def test_is_an_entry_that_knows_the_very_bytes(self, killed: Kill, compliance: Client) -> None:
        response = compliance.get(f"/kills/{killed.id}/pack.zip")
        entry = Entry.objects.get(kind=Kind.PACK_TAKEN)  # nothing was read of it yet
        content = b"".join(response.streaming_content)
        assert (entry.actor_name, entry.kill_id) == ("carla", killed.id)
        assert entry.data["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry.data["bytes"] == len(content)

    def test_is_no_entry_where_only_its_head_is_asked_for(self, killed: Kill, compliance: Client) -> None:
        assert compliance.head(f"/kills/{killed.id}/pack.zip").status_code == 405
        assert not Entry.objects.filter(kind=Kind.PACK_TAKEN).exists()

    def test_is_not_found_for_an_unknown_kill(self, compliance: Client) -> None:
        assert compliance.get(f"/kills/{uuid.uuid4()}/pack.zip").status_code == 404

    def test_does_not_grow_with_every_pack_that_is_taken(self, killed: Kill, take_pack: TakePack) -> None:
        first = take_pack(killed)
        second = take_pack(killed)
        assert first.contents["entries.jsonl"] == second.contents["entries.jsonl"]
        assert [row["kind"] for row in second.table("people.csv")] == [Kind.KILL_ENGAGED, Kind.PACK_TAKEN]

    def test_names_everybody_who_had_a_hand_in_it(self, killed: Kill, take_pack: TakePack) -> None:
        tell(killed, Kind.RELEASE_REFUSED, "no", actor=Actor(name="rob"))
        path = {"path": f"/kills/{killed.id}/release/"}
        append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="nia may not", actor=Actor(name="nia"), data=path)])
        other = {"path": f"/kills/{uuid.uuid4()}/release/"}
        append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="x may not", actor=Actor(name="x"), data=other)])
        tell(killed, Kind.SWEEP_TAKEN_OVER, "took over", actor=Actor(name="desk", source="watchdog b 12"))
        files = take_pack(killed)
        assert [row["who"] for row in files.table("people.csv")] == ["desk", "rob", "nia"]
        assert "Carried out by watchdog b 12." in files.text("summary.html")
        assert "sweep.taken_over" in {row["kind"] for row in files.table("timeline.csv")}

    def test_says_when_each_order_was_asked_to_go_and_when_that_was_accepted(
        self, killed: Kill, take_pack: TakePack
    ) -> None:
        asked, accepted = killed.engaged_at + timedelta(milliseconds=7), killed.engaged_at + timedelta(milliseconds=31)
        add(killed, "timed", asked_at=asked, accepted_at=accepted)
        add(killed, "not asked")
        rows = {row["order_id"]: row for row in take_pack(killed).table("orders.csv")}
        assert datetime.fromisoformat(rows["timed"]["asked_at"]) == asked
        assert datetime.fromisoformat(rows["timed"]["accepted_at"]) == accepted
        assert (rows["not asked"]["asked_at"], rows["not asked"]["accepted_at"]) == ("", "")

    def test_does_not_reach_to_a_reason_that_was_given_long_after_the_end(
        self, killed: Kill, take_pack: TakePack
    ) -> None:
        Kill.objects.update(reason="")
        end(Kill.objects.get(), State.FLAT)
        last = Entry.objects.latest("id").id
        anchor_at(last)
        tell_of_something_else(NEAR)
        give_reason(killed, reason="it ran away", actor=SOMEBODY, now=timezone.now())
        given = Entry.objects.latest("id").id
        files = take_pack(killed)
        assert files.lines("entries.jsonl")[-1]["sequence"] == last
        [line] = files.lines("reason.jsonl")
        assert (line["sequence"], line["data"]["reason"]) == (given, "it ran away")
        assert "reason-anchors.jsonl" not in files.contents
        assert f"The reason was given later: entry {given}, in reason.jsonl." in files.text("README.txt")
        tell_of_something_else(2)
        anchor_at(given + 2)
        files = take_pack(killed)
        assert [row["sequence"] for row in files.lines("reason.jsonl")] == [given, given + 1, given + 2]
        assert files.lines("reason-anchors.jsonl")[0]["sequence"] == given + 2
        assert files.lines("entries.jsonl")[-1]["sequence"] == last

    def test_has_a_reason_that_was_given_soon_after_the_end(self, killed: Kill, take_pack: TakePack) -> None:
        Kill.objects.update(reason="")
        end(Kill.objects.get(), State.FLAT)
        tell_of_something_else(3)
        give_reason(killed, reason="it ran away", actor=SOMEBODY, now=timezone.now())
        files = take_pack(killed)
        assert files.lines("entries.jsonl")[-1]["data"]["reason"] == "it ran away"
        assert "reason.jsonl" not in files.contents

    def test_says_that_there_is_no_anchor_yet(self, killed: Kill, take_pack: TakePack) -> None:
        files = take_pack(killed)
        assert "THERE IS NO ANCHOR YET" in files.text("README.txt")
        assert "There is no anchor after them yet" in files.text("summary.html")
        assert "anchors.jsonl" not in files.contents

    def test_says_that_the_trail_was_found_not_to_hold(self, killed: Kill, take_pack: TakePack) -> None:
        finding = {"headline": "DOES NOT HOLD: EDITED, entry 3.", "findings": []}
        Verification.objects.create(state="broken", last=5, finding=finding)
        files = take_pack(killed)
        for name in ("README.txt", "summary.html"):
            assert "DOES NOT HOLD: EDITED, entry 3." in files.text(name)

    def test_does_not_take_an_anchor_from_before_the_end(self, db: None, take_pack: TakePack) -> None:
        killed = make_kill()
        anchor_at(Entry.objects.latest("id").id)
        end(killed, State.FLAT)
        assert "THERE IS NO ANCHOR YET" in take_pack(killed).text("README.txt")

    def test_names_its_anchor(self, killed: Kill, take_pack: TakePack) -> None:
        anchor = anchor_at(Entry.objects.latest("id").id)
        files = take_pack(killed)
        assert f"The anchor of entry {anchor.sequence}" in files.text("README.txt")
        assert "--anchors anchors.jsonl --public-key public-key.pem" in files.text("README.txt")
        assert anchor.hash in files.text("summary.html")

    def test_lists_every_file_that_it_holds(self, killed: Kill, take_pack: TakePack) -> None:
        anchor_at(Entry.objects.latest("id").id)
        files = take_pack(killed)
        readme = files.text("README.txt")
        assert all(name in readme for name in files.contents if name != "README.txt")
        assert ("summary.pdf" in files.contents) is ("There is no summary.pdf" not in readme)

    def test_has_a_summary_that_needs_nothing_else(self, killed: Kill, take_pack: TakePack) -> None:
        files = take_pack(killed)
        for name in ("summary.html", "call-sheet.html"):
            text = files.text(name)
            assert "<style>" in text
            assert not re.search(r"<(script|link|img|a )|url\(|@import", text)

    def test_has_the_call_sheet(self, killed: Kill, take_pack: TakePack) -> None:
        files = take_pack(killed)
        assert "SELL 100 AAPL" in files.text("call-sheet.txt")
        assert "worth not known" in files.text("call-sheet.html")
        assert "hx-get" not in files.text("call-sheet.html")

    def test_of_a_running_kill_says_that_it_is_not_over(self, db: None, take_pack: TakePack, killed: Kill) -> None:
        running = make_kill()
        add(running, "2", outcome=Outcome.PENDING)
        files, over = take_pack(running), take_pack(killed)
        assert "THIS KILL IS NOT OVER" in files.text("README.txt")
        assert "This kill is not over." in files.text("summary.html")
        assert "NOT OVER" not in over.text("README.txt")
        assert "not over" not in over.text("summary.html")

    def test_neutralises_formulas_and_keeps_numbers(self, db: None, take_pack: TakePack) -> None:
        killed = make_kill(reason='=HYPERLINK("http://x")', engaged_by_name="+ann")
        tell(killed, Kind.KILL_RELEASED, '=HYPERLINK("http://x")', actor=Actor(name="@rob"))
        add(killed, "-1+2", client_order_id='=cmd|" /C calc"!A0', symbol="@X", price=Decimal("-0.5"))
        end(killed, State.NOT_FLAT)
        files = take_pack(killed)
        [row] = files.table("orders.csv")
        assert (row["order_id"], row["client_order_id"]) == ("'-1+2", '\'=cmd|" /C calc"!A0')
        assert (row["symbol"], row["price"]) == ("'@X", "-0.5")
        released = files.table("people.csv")[1]
        assert (released["who"], released["what"]) == ("'@rob", '\'=HYPERLINK("http://x")')
        # What is not read by a spreadsheet stays as it was.
        assert "@rob" in {line["actor_name"] for line in files.lines("entries.jsonl")}

    def test_shows_what_people_wrote_as_text(self, db: None, take_pack: TakePack) -> None:
        killed = make_kill(reason="<script>alert(1)</script>" + "x" * 20_000)
        add(killed, "<b>1</b>")
        end(killed, State.NOT_FLAT)
        files = take_pack(killed)
        for name in ("summary.html", "call-sheet.html"):
            assert "<script" not in files.text(name)
            assert "<b>" not in files.text(name)
        assert len(files.contents["summary.html"]) < 20_000

    @pytest.mark.django_db(transaction=True)
    def test_takes_no_more_memory_for_many_orders(self) -> None:
        sizes = {count: peak_of(killed_with(count)) for count in (100, 10_000)}
        assert sizes[10_000] < sizes[100] + 25_000_000, sizes


def killed_with(count: int) -> Kill:
    killed = make_kill()
    sweep = killed.sweeps.create(account_id=1001)
    now = timezone.now()
    KilledOrder.objects.bulk_create(
        (
            KilledOrder(
                sweep=sweep,
                order_id=f"id-{n}",
                outcome=Outcome.CANCELED,
                quantity=Decimal(5),
                updated_at=now,
                symbol="A",
            )
            for n in range(count)
        ),
        batch_size=500,
    )
    entry: dict[str, Any] = {"kind": Kind.ORDER_ENDED, "sentence": "x" * 200, "at": now, "kill_id": killed.id}
    append(Draft(**entry, order_id=f"id-{n}") for n in range(count))
    end(killed, State.FLAT)
    return killed


def peak_of(killed: Kill) -> int:
    tracemalloc.start()
    try:
        pack = take(killed.id, draw=draw, actor=SOMEBODY, now=timezone.now())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pack.file as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        rows = archive.read("orders.csv").count(b"\r\n") - 1
    assert rows == killed.sweeps.get().orders.count()
    return peak


class TestFiguresOfTime:
    def test_stand_on_the_page_and_in_the_summary_alike(self, db: None, compliance: Client) -> None:
        killed = make_kill()
        for account_id, (announced, answered, flat) in {1: (12, 250, 3100), 2: (15, 480, 12_500)}.items():
            at = [killed.engaged_at + timedelta(milliseconds=after) for after in (announced, answered, flat)]
            killed.sweeps.create(
                account_id=account_id, state=State.FLAT, first_attempt_at=at[0], first_answer_at=at[1],
                first_flat_at=at[2],
            )  # fmt: skip
        for page in ("", "summary/"):
            text = plain(compliance.get(f"/kills/{killed.id}/{page}").content.decode())
            assert "First DELETE announced 12 ms" in text
            assert "Every account answered 480 ms" in text
            assert "Every account flat 12.5 s" in text

    def test_are_not_given_before_every_account_is_there(self, db: None, compliance: Client) -> None:
        killed = make_kill()
        killed.sweeps.create(account_id=1, first_answer_at=timezone.now(), first_flat_at=timezone.now())
        killed.sweeps.create(account_id=2)
        text = plain(compliance.get(f"/kills/{killed.id}/").content.decode())
        assert "Every account answered – 1 of 2" in text
        assert "Every account flat – 1 of 2" in text

    def test_count_as_asked_only_accounts_that_had_something_to_cancel(self, db: None, compliance: Client) -> None:
        killed, now = make_kill(filter_data={"status": ["NEW"]}), timezone.now()
        for account_id in range(6):
            killed.sweeps.create(account_id=account_id, listed_at=now, open_orders=0, first_flat_at=now)

        def text() -> str:
            return plain(compliance.get(f"/kills/{killed.id}/summary/").content.decode())

        assert "answered – none had to be: 6 accounts listed, nothing to cancel" in text()
        killed.sweeps.create(account_id=7, first_attempt_at=killed.engaged_at, listed_at=now)
        at = killed.engaged_at + timedelta(milliseconds=480)
        killed.sweeps.create(account_id=8, first_attempt_at=killed.engaged_at, listed_at=now, first_answer_at=at)
        words = "Every account that was sent a DELETE answered"
        assert f"{words} – 1 of 2; 6 others listed, nothing to cancel" in text()
        killed.sweeps.filter(account_id=7).update(first_answer_at=at)
        assert f"{words} 480 ms 2 of 2; 6 others listed, nothing to cancel" in text()
        assert f"480 ms {words}" in text()

    def test_count_an_account_as_not_asked_yet_while_its_orders_wait(self, db: None, compliance: Client) -> None:
        killed, now = make_kill(filter_data={"status": ["NEW"]}), timezone.now()
        killed.sweeps.create(account_id=1, first_attempt_at=now, first_answer_at=now, listed_at=now, open_orders=1)
        killed.sweeps.create(account_id=2, listed_at=now, open_orders=3)
        text = plain(compliance.get(f"/kills/{killed.id}/summary/").content.decode())
        assert "Every account answered – 1 of 2" in text
