"""The summary as PDF, and what happens where it cannot be made."""

import re
import sys
import zlib
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from killswitch.incident.pdf import NoPdf, pdf_of
from killswitch.incident.summary import Summary
from killswitch.kills.models import State
from orders_ui.papers import draw

from .conftest import TakePack, add, end, make_kill, record


def pages_of(pdf: bytes) -> int:
    assert pdf.startswith(b"%PDF-")
    streams = re.findall(rb"/ObjStm.*?stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    objects = b"".join(zlib.decompressobj().decompress(stream) for stream in streams)
    return len(re.findall(rb"/Type\s*/Page\b", objects))


class TestPdf:
    def test_of_a_summary_is_one_page(self, db: None) -> None:
        pytest.importorskip("weasyprint")
        killed = make_kill(latched=True, reason="momentum-7 sends at ten times its limit " * 40)
        for number in range(20):
            add(killed, str(number), 1000 + number)
        record(killed)
        end(killed, State.NOT_FLAT)
        assert pages_of(pdf_of(draw(Summary(killed, timezone.now()))["summary.html"])) == 1

    def test_is_drawn_without_asking_for_anything(self, tmp_path: Path) -> None:
        pytest.importorskip("weasyprint")
        style = tmp_path / "style.css"
        style.write_text("p { break-after: page }")
        two = "<p>one</p><p>two</p>"
        assert pages_of(pdf_of(f"<style>{style.read_text()}</style>{two}")) == 2
        assert pages_of(pdf_of(f'<link rel="stylesheet" href="{style.as_uri()}">{two}')) == 1

    def test_that_cannot_be_made_is_said_and_stops_nothing(
        self, db: None, take_pack: TakePack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "weasyprint", None)
        with pytest.raises(NoPdf):
            pdf_of(render_to_string("404.html"))
        killed = make_kill()
        end(killed, State.FLAT)
        files = take_pack(killed)
        assert "summary.pdf" not in files.contents
        assert "There is no summary.pdf: WeasyPrint is not installed" in files.text("README.txt")
