"""What the lookout writes, without a process: leases, and whose time it goes by."""

from datetime import timedelta

import pytest

from killswitch.health import rows
from killswitch.health.alive import database_time
from killswitch.health.lookout import Lookout
from killswitch.health.models import Watch

from .light import shine


@pytest.mark.django_db
class TestLookout:
    def test_goes_by_the_databases_clock_as_it_was_at_the_last_write(self) -> None:
        lookout = Lookout()
        assert lookout._begin()
        lookout._time.set(database_time() + timedelta(hours=1))  # it has been set back since
        lookout._write(rows.Look([]))
        assert abs(lookout._time.now() - database_time()) < timedelta(seconds=5)

    def test_knows_nothing_after_the_databases_clock_was_set_back(self) -> None:
        shine(seconds_ago=-3600)
        assert rows.was_left_alone(Watch.objects.with_time().get())
        shine(seconds_ago=-1)
        assert not rows.was_left_alone(Watch.objects.with_time().get())
