"""What is to be canceled stands here; Celery only rings. A committed sweep is carried out, whatever breaks."""

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from killswitch.broker import STOPS, multiplier, open_notional
from killswitch.fields import ExactDecimalField

from .filter import OrderFilter


class State(models.TextChoices):
    """How a sweep or a kill stands."""

    RUNNING = "running", "running"
    LATCHED = "latched", "latched"  # quiet, and swept on until somebody releases it
    FLAT = "flat", "flat"
    NOT_FLAT = "not_flat", "not flat"
    UNKNOWN = "unknown", "unknown"


class Roster(models.TextChoices):
    """Whether a kill of all accounts has asked the broker which accounts there are."""

    GIVEN = "given", "accounts were named"
    PENDING = "pending", "asking the broker"
    CONFIRMED = "confirmed", "confirmed by the broker"
    FAILED = "failed", "the broker did not say"


class Outcome(models.TextChoices):
    """What became of one order, by the broker's own word."""

    PENDING = "pending", "pending"
    CANCELED = "canceled", "canceled"
    PARTLY_FILLED = "partly_filled", "partly filled, rest canceled"
    FILLED = "filled", "filled before the cancel"
    REJECTED = "rejected", "rejected"
    EXPIRED = "expired", "expired"
    REPLACED = "replaced", "replaced"
    STILL_OPEN = "still_open", "still open"
    STUCK = "stuck", "stuck in pending cancel"
    NOT_FOUND = "not_found", "not found at the broker"
    UNKNOWN = "unknown", "unknown"
    WOULD_CANCEL = "would_cancel", "would have been canceled"  # in a dry run


class Kill(models.Model):
    """One decision by one person: which accounts, which orders, why."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    idempotency_key = models.UUIDField(unique=True)
    engaged_at = models.DateTimeField()
    committed_at = models.DateTimeField("engaged at, by the database's clock", db_default=Now())
    engaged_by_id = models.BigIntegerField(null=True)
    engaged_by_name = models.CharField(max_length=150)
    source = models.CharField(max_length=200, blank=True)
    broker = models.TextField("the broker that it was pressed for", blank=True)
    left_by = models.TextField("who left it alone, being set to another broker", blank=True)
    reason = models.TextField(blank=True)
    reason_given_at = models.DateTimeField("when the reason was given, if after the press", null=True)
    reason_given_by_name = models.CharField(max_length=150, blank=True)
    all_accounts = models.BooleanField(default=False)
    filter_data = models.JSONField(default=dict)
    scope = models.TextField()
    dry_run = models.BooleanField(default=False)
    latched = models.BooleanField(default=False)
    released_at = models.DateTimeField(null=True)
    released_by_id = models.BigIntegerField(null=True)
    released_by_name = models.CharField(max_length=150, blank=True)
    release_reason = models.TextField(blank=True)

    state = models.CharField(max_length=20, choices=State, default=State.RUNNING)
    ended_at = models.DateTimeField(null=True)

    roster = models.CharField(max_length=20, choices=Roster, default=Roster.GIVEN)
    roster_error = models.TextField(blank=True)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-engaged_at",)
        default_permissions = ("view",)
        permissions = [("engage_kill", "Can engage a kill")]
        indexes = [
            models.Index(fields=["-engaged_at"], name="kill_engaged"),
            models.Index(fields=["ended_at"], name="kill_ended"),
            models.Index(fields=["dry_run", "-engaged_at"], name="kill_drills"),
        ]

    def __str__(self) -> str:
        return f"Kill {self.id}: {self.scope}"

    @property
    def filter(self) -> OrderFilter:
        return OrderFilter.from_data(self.filter_data)

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    @property
    def is_held(self) -> bool:
        """Say whether it is latched and nobody has released it: it sweeps on, however quiet it is."""
        return self.latched and self.released_at is None and self.ended_at is None


class Sweep(models.Model):
    """What a kill does on one account: passes until no matching order is open."""

    kill = models.ForeignKey(Kill, on_delete=models.PROTECT, related_name="sweeps")
    account_id = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=State, default=State.RUNNING)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    first_attempt_at = models.DateTimeField("first cancel announced", null=True)
    first_answer_at = models.DateTimeField("a cancel was answered for the first time", null=True)
    first_flat_at = models.DateTimeField("flat, or quiet and latched, for the first time", null=True)
    flat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    passes = models.PositiveIntegerField(default=0)
    open_orders = models.PositiveIntegerField("matching orders still open when last listed", null=True)
    listed_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    throttled = models.TextField("why the broker makes it wait", blank=True)
    next_try_at = models.DateTimeField(null=True)
    break_offs = models.PositiveSmallIntegerField("times that an unexpected error broke it off", default=0)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["kill", "account_id"], name="one_sweep_per_account")]
        indexes = [models.Index(fields=["ended_at", "lease_until"], name="sweep_due")]

    def __str__(self) -> str:
        return f"Sweep of account {self.account_id}"


class KilledOrder(models.Model):
    """One order that a sweep touched, and what became of it."""

    sweep = models.ForeignKey(Sweep, on_delete=models.PROTECT, related_name="orders")
    order_id = models.TextField()
    client_order_id = models.TextField(blank=True)
    symbol = models.TextField(blank=True)
    side = models.TextField(blank=True)
    order_type = models.TextField(blank=True)
    instrument_type = models.TextField("of a multi-leg order the one that all of its legs share", blank=True)
    legs = models.TextField("the legs of a multi-leg order, in words", blank=True)
    status = models.TextField(blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome, default=Outcome.PENDING)
    quantity = ExactDecimalField()
    leaves_quantity = ExactDecimalField()
    filled_quantity = ExactDecimalField()
    filled_before = ExactDecimalField(help_text="filled when the sweep first saw it")
    time_in_force = models.TextField(blank=True)
    price = ExactDecimalField(help_text="the limit price, else the stop price")
    stop_price = ExactDecimalField()
    is_late = models.BooleanField("arrived after the kill began", default=False)
    replaces = models.TextField("order that it replaced", blank=True)
    asked_at = models.DateTimeField("first cancel that reaches it announced", null=True)
    accepted_at = models.DateTimeField("a cancel accepted for the first time", null=True)
    pending_since = models.DateTimeField("cancel accepted, not carried out since", null=True)
    lost_quantity = ExactDecimalField(help_text="traded while the cancel was on its way")
    lost_notional = ExactDecimalField()
    attempts = models.PositiveIntegerField(default=0)
    request_id = models.TextField(blank=True)
    updated_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["sweep", "order_id"], name="one_row_per_order")]
        indexes = [
            models.Index(fields=["sweep", "outcome"], name="killed_outcome"),
            # Every page counts these while a kill runs.
            models.Index(fields=["sweep"], name="killed_late", condition=Q(is_late=True)),
            models.Index(fields=["sweep"], name="killed_lost", condition=Q(lost_quantity__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Order {self.order_id}: {self.outcome}"

    @property
    def is_stop(self) -> bool:
        return self.order_type in STOPS

    @property
    def open_notional(self) -> Decimal | None:
        """What is left of it in US dollars, as it was last seen; None where there is no price to multiply with."""
        return open_notional(self.leaves_quantity, self.price, self.shares)

    @property
    def shares(self) -> int | None:
        """How many shares one unit of its quantity stands for; None where that is not known."""
        return multiplier(self.instrument_type, self.symbol, has_legs=bool(self.legs))

    @property
    def instrument(self) -> str:
        """What it trades, in words: its symbol, else its legs; empty where the broker told neither."""
        return self.symbol or self.legs


class Acknowledgement(models.Model):
    """That somebody has seen an alarm of a kill, and how much of it there was then."""

    kill = models.ForeignKey(Kill, on_delete=models.PROTECT, related_name="acknowledgements")
    alarm = models.CharField(max_length=20)
    count = models.PositiveIntegerField("how many orders it was about", default=1)
    by_id = models.BigIntegerField(null=True)
    by_name = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["kill", "alarm", "by_name"], name="one_acknowledgement_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.alarm} acknowledged by {self.by_name}"


class DrillPlan(models.Model):
    """The single row that says how often a drill is due."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    every_days = models.PositiveSmallIntegerField(null=True)
    since = models.DateTimeField("a drill has been due every so often since", null=True)
    changed_at = models.DateTimeField(null=True)
    changed_by_name = models.CharField(max_length=150, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"A drill every {self.every_days} days"
