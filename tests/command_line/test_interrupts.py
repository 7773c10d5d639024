"""An ask to end is never lost, whenever it comes."""

import os
import signal

from killswitch.command_line.interrupts import Interrupts


def test_an_ask_that_comes_before_the_wait_ends_it() -> None:
    with Interrupts().caught() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.wait(60, heard=0)
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.wait(60, heard=1)
        assert (interrupts.count, interrupts.name) == (2, "Ctrl-C")
        assert not interrupts.wait(0, heard=2)
