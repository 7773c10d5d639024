"""How the parts of the way from button to broker stood when they were last looked at. Times are the database's."""

from datetime import datetime

from django.db import models

from killswitch import database_clock

from .verdict import Verdict


class Finding(models.Model):
    """What the lookout last found of one part."""

    part = models.CharField(max_length=20, primary_key=True)
    fault = models.CharField("what is wrong; empty where nothing is", max_length=40, blank=True)
    says = models.TextField(blank=True)
    took_us = models.BigIntegerField("how long it took, in microseconds", null=True)
    checked_at = models.DateTimeField()
    since = models.DateTimeField("since when it is so")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.part}: {self.fault or 'well'}"


class Heartbeat(models.Model):
    """That somebody was at work: a watchdog that looked for kills, a worker that took a task from the queue."""

    class Who(models.TextChoices):
        WATCHDOG = "watchdog", "watchdog"
        WORKER = "worker", "worker"

    who = models.CharField(max_length=10, choices=Who)
    where = models.CharField(max_length=255)
    seen_at = models.DateTimeField()
    sent_at = models.DateTimeField("when the task was sent that a worker took", null=True)
    broker = models.TextField("the address at which it asks the broker")
    trouble = models.TextField("why it does not reach the broker; empty where it does", blank=True)
    is_stuck = models.BooleanField("its own event loop does not answer", default=False)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["who", "where"], name="health_heartbeat_who_where")]

    def __str__(self) -> str:
        return f"{self.who} {self.where}"


class WatchQuerySet(models.QuerySet["Watch"]):
    def with_time(self) -> "WatchQuerySet":
        """Read the database's time with the row."""
        return self.annotate(now=database_clock.now())  # type: ignore[no-redef]


class Watch(models.Model):
    """The single row that says who looks right now, when they last did, and what the light shows."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    where = models.CharField(max_length=255, blank=True)
    seen_at = models.DateTimeField(null=True)
    broker = models.TextField("the address at which it asks the broker", blank=True)

    verdict = models.CharField(max_length=20, choices=Verdict, default=Verdict.NOT_KNOWN)
    faults = models.JSONField("what was told with the verdict", default=list)
    since = models.DateTimeField(null=True)
    # Since when it has been better than what it shows; what gets better has to hold.
    better_since = models.DateTimeField(null=True)

    objects = WatchQuerySet.as_manager()
    now: datetime  # as read together with the row, by `with_time`

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.verdict
