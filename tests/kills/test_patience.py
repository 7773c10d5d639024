"""How long a sweep pauses. The jitter is full, so the longest of many says how far it reaches."""

from collections.abc import Callable

from killswitch.kills.patience import (
    FIRST_PAUSE,
    FIRST_RETRY,
    LEAST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_RETRY,
    Limits,
    Patience,
    retry_pause,
)


def longest(pause: Callable[[], float]) -> float:
    return max(pause() for _ in range(500))


def test_an_order_is_left_alone_for_longer_after_each_cancel_of_it() -> None:
    assert longest(lambda: retry_pause(1)) <= FIRST_RETRY
    assert FIRST_RETRY < longest(lambda: retry_pause(2)) <= 2 * FIRST_RETRY
    assert 2 * FIRST_RETRY < longest(lambda: retry_pause(3)) <= 4 * FIRST_RETRY


def test_an_order_is_never_left_alone_for_long() -> None:
    assert longest(lambda: retry_pause(1_000)) <= LONGEST_RETRY


def longest_pass(has_moved: bool, passes_before: int) -> float:
    """Return the longest pause of many sweeps after so many passes in which nothing moved."""

    def pause() -> float:
        patience = Patience(Limits())
        for _ in range(passes_before):
            patience.next_pause(has_moved=False)
        return patience.next_pause(has_moved=has_moved)

    return longest(pause)


def test_lists_are_further_apart_while_nothing_moves_and_close_again_once_something_does() -> None:
    assert longest_pass(has_moved=False, passes_before=0) <= LEAST_PAUSE + FIRST_PAUSE
    assert longest_pass(has_moved=False, passes_before=2) > LEAST_PAUSE + FIRST_PAUSE
    assert LONGEST_PAUSE / 2 < longest_pass(has_moved=False, passes_before=50) <= LEAST_PAUSE + LONGEST_PAUSE
    assert longest_pass(has_moved=True, passes_before=50) <= LEAST_PAUSE + FIRST_PAUSE
