"""The words of a kill's page, and that docs/operators.md has them."""

import re
from pathlib import Path

import pytest

from killswitch.kills.meanings import (
    AFTER_THE_RELEASE,
    ALARMS_AFTERWARDS,
    ASK,
    IN_A_DRY_RUN,
    OUTCOMES,
    STATES,
    UNATTENDED,
    UNATTENDED_DRY_RUN,
    WHILE_LATCHED,
    Alarm,
    Meaning,
    meaning_of,
    standing,
)
from killswitch.kills.models import Kill, Outcome, State

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = (
    *("kill", "_kill", "_kill_state", "_kill_rest", "_kill_open", "_kill_waiting", "_kill_figures"),
    *("_kill_accounts", "_kill_gone", "_kill_bar", "_kill_plot", "_kill_looking", "_kill_help"),
    *("_killed_orders", "_release"),
)
EVERYTHING = [
    *STATES.values(),
    *WHILE_LATCHED.values(),
    *IN_A_DRY_RUN.values(),
    AFTER_THE_RELEASE,
    UNATTENDED,
    UNATTENDED_DRY_RUN,
    *OUTCOMES.values(),
    *(alarm.value for alarm in Alarm),
    *ALARMS_AFTERWARDS.values(),
]


def plain(text: str) -> str:
    return " ".join(text.replace("**", "").split())


@pytest.fixture(scope="module")
def operators() -> str:
    return plain((ROOT / "docs/operators.md").read_text())


def template(name: str) -> str:
    return (ROOT / f"templates/{name}.html").read_text()


class TestOperatorsPage:
    @pytest.mark.parametrize(("word", "meaning"), [*STATES.items(), *OUTCOMES.items()])
    def test_has_a_line_for_each_state_and_outcome(
        self, word: State | Outcome, meaning: Meaning, operators: str
    ) -> None:
        assert f"| {word.label} | {meaning.says} | {meaning.do} |" in operators

    @pytest.mark.parametrize("meaning", EVERYTHING, ids=lambda meaning: meaning.says)
    def test_has_every_sentence(self, meaning: Meaning, operators: str) -> None:
        assert meaning.says in operators
        assert meaning.do in operators

    @pytest.mark.parametrize(
        "words",
        [
            "Nothing matched: no order was canceled.",
            "NOT RELEASED",
            "another person of the risk desk has to release it",
            "What do these words mean?",
            "Not known to be gone",
            "On their way",
            "Orders since the press",
            "Also looking",
            "Sound on",
            "Got away",
        ],
    )
    def test_quotes_the_pages_other_words(self, words: str, operators: str) -> None:
        assert any(words in template(name) for name in TEMPLATES)
        assert words in operators

    def test_says_what_to_ask_where_there_is_no_order_to_read_out(self, operators: str) -> None:
        assert ASK in operators

    def test_is_linked_from_the_readme(self) -> None:
        assert "(docs/operators.md)" in (ROOT / "README.md").read_text()


class TestMeanings:
    def test_cover_every_state_and_outcome(self) -> None:
        assert set(STATES) == set(State)
        assert set(OUTCOMES) == set(Outcome)

    def test_are_the_only_loud_words_of_a_kills_page(self) -> None:
        """One loop over the alarms, and the refusals of a release and of a reason."""
        loud = [found for name in TEMPLATES for found in re.findall(r'class="loud[^"]*"', template(name))]
        assert loud == ['class="loud"'] * 2 + ['class="loud {{ loud.alarm.name|lower }}"']

    @pytest.mark.parametrize("state", State)
    @pytest.mark.parametrize("fields", [{}, {"latched": True}, {"dry_run": True}])
    def test_are_there_for_every_kill(self, state: State, fields: dict[str, bool]) -> None:
        kill = Kill(state=state, **fields)
        assert meaning_of(kill).says
        assert state.label in standing(kill)
        assert standing(kill).startswith("dry run: ") is kill.dry_run
        assert ("latched" in standing(kill)) is (kill.latched or state == State.LATCHED)
