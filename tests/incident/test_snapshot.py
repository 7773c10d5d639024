"""Reading as of one moment, on a real file or server."""

import threading

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Draft, append
from killswitch.kills.models import Kill
from killswitch.snapshot import one_moment

from .conftest import make_kill

pytestmark = pytest.mark.django_db(transaction=True)


def write_elsewhere() -> None:
    """Make another kill from another connection, and wait until it is committed: nobody may be in its way."""
    failed: list[BaseException] = []

    def write() -> None:
        try:
            make_kill()
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(15)
    assert not thread.is_alive(), "whoever reads keeps others from writing"
    assert failed == []


def test_what_is_written_meanwhile_is_not_seen() -> None:
    make_kill()
    with one_moment():
        assert Kill.objects.count() == 1
        write_elsewhere()
        assert Kill.objects.count() == 1
    assert Kill.objects.count() == 2


def test_the_connection_writes_again_afterwards() -> None:
    with one_moment():
        assert not Kill.objects.exists()
    with transaction.atomic():
        append([Draft(kind=Kind.LOGGED_IN, at=timezone.now(), sentence="somebody logged in")])
    assert not connection.in_atomic_block


def test_an_error_does_not_leave_it_open() -> None:
    with pytest.raises(ZeroDivisionError), one_moment():
        assert Kill.objects.count() / 0
    write_elsewhere()
    assert Kill.objects.count() == 1
