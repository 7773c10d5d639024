"""Engage a kill: the decision is committed first, then the doorbell rings."""

import logging
import uuid
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from datetime import datetime

from django.db import transaction

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft
from killswitch.celery import app
from killswitch.steps import step

from .beginning import engaged, kill_values
from .decision import Decision
from .models import Kill, Sweep
from .told import append

logger = logging.getLogger(__name__)

# The press waits this long for the queue, then goes on without: the watchdog takes up what nobody rang for.
DOORBELL_SECONDS = 0.4
_bell = ThreadPoolExecutor(max_workers=4, thread_name_prefix="doorbell")


class KeyReused(ValueError):
    """The idempotency key belongs to another decision: load the form again and press once more."""


def engage(*, decision: Decision, known_account_ids: Iterable[int], actor: Actor, now: datetime) -> Kill:
    """Commit a kill with its sweeps and the entry that announces it, then ring for a worker.

    The same idempotency key again returns the kill that is already there. For all accounts, `known_account_ids` are
    swept at once and the broker is asked for the rest. Raises KeyReused.
    """
    account_ids = sorted(set(known_account_ids)) if decision.all_accounts else list(decision.account_ids)
    new_id = _pressed(decision, account_ids, actor)
    new = Kill(id=new_id, idempotency_key=decision.idempotency_key, **kill_values(decision, account_ids, actor, now))
    with transaction.atomic():
        # Not get_or_create: that is a question and a savepoint more, and a DELETE waits for each statement.
        Kill.objects.bulk_create([new], ignore_conflicts=True)
        kill = Kill.objects.get(idempotency_key=decision.idempotency_key)
        is_new = kill.id == new_id
        if is_new:
            Sweep.objects.bulk_create(Sweep(kill=kill, account_id=account_id) for account_id in account_ids)
            append([engaged(kill, account_ids, actor)])
    if not is_new:
        step("pressed_again", kill.id, key=decision.idempotency_key, person=actor.name, by=actor.source)
        if not is_of(kill, decision, actor):
            raise KeyReused("this form was already used for another kill: load it again and press once more")
    ring(kill.id)
    return kill


def _pressed(decision: Decision, account_ids: Collection[int], actor: Actor) -> uuid.UUID:
    """Say in the log that somebody pressed, before anything can go wrong. Return the id that the kill gets."""
    kill_id = uuid.uuid4()
    step(
        "pressed",
        kill_id,
        key=decision.idempotency_key,
        accounts=len(account_ids),
        all_accounts=decision.all_accounts,
        latched=decision.latched,
        dry_run=decision.dry_run,
        person=actor.name,
        by=actor.source,
    )
    return kill_id


def is_of(kill: Kill, decision: Decision, actor: Actor) -> bool:
    """Say whether a kill is what `actor` asks for with `decision`, whatever the reason."""
    return (
        kill.engaged_by_id == actor.id
        and kill.filter_data == decision.filter.as_data()
        and kill.all_accounts == decision.all_accounts
        and (kill.latched, kill.dry_run) == (decision.latched, decision.dry_run)
        and (decision.all_accounts or _accounts_at_the_start(kill) == set(decision.account_ids))
    )


def _accounts_at_the_start(kill: Kill) -> set[int]:
    return set(kill.sweeps.values_list("account_id", flat=True))


def ring(kill_id: uuid.UUID) -> bool:
    """Tell the workers of a kill. Return whether the queue took it in time; the kill is carried out either way."""
    try:
        _bell.submit(_ring, kill_id).result(DOORBELL_SECONDS)
    except TookTooLong:
        logger.warning("kill %s: the queue did not answer within %s s", kill_id, DOORBELL_SECONDS)
        step("not_rung", kill_id, error="no_answer", seconds=DOORBELL_SECONDS)
        return False
    except Exception as error:
        # The kill is committed: whatever is wrong with the queue must not look like "not sent".
        logger.warning("kill %s: the queue did not take it (%s)", kill_id, type(error).__name__)
        step("not_rung", kill_id, error=type(error).__name__)
        return False
    step("rung", kill_id)
    return True


def _ring(kill_id: uuid.UUID) -> None:
    app.send_task(
        "killswitch.kills.tasks.run_kill", args=[str(kill_id)], queue="kills", retry=False, ignore_result=True
    )


def warm_doorbell() -> None:
    """Connect to the queue in the background, so that the first press of a process does not have to."""
    _bell.submit(_connect)


def _connect() -> None:
    try:
        with app.producer_or_acquire() as producer:
            producer.connection.ensure_connection(max_retries=1)
    except Exception as error:
        logger.warning("the queue does not answer (%s): the watchdog will carry out kills", type(error).__name__)


def record_refusal(*, actor: Actor, why: str, asked: dict[str, list[str]], now: datetime) -> None:
    """Write that a kill was asked for and refused, with what was asked."""
    who = actor.name or "Somebody who is not logged in"
    short = {name: [value[:200] for value in values[:20]] for name, values in list(asked.items())[:40]}
    append(
        [Draft(kind=Kind.KILL_REFUSED, at=now, actor=actor, sentence=f"A kill by {who} was refused: {why}", data=short)]
    )
