"""The open book: one row per account with its sums, and beside it the orders themselves as last listed."""

import uuid
from datetime import timedelta

from django.db import models
from django.utils import timezone

from killswitch.fields import ExactDecimalField


class AccountList(models.Model):
    """The single row that says when the broker last named its accounts, and who refreshes the book right now."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    listed_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Accounts as of {self.listed_at}"


class Account(models.Model):
    """An account and the sums of its open orders as last listed."""

    account_id = models.BigIntegerField(primary_key=True)
    short_name = models.TextField(blank=True)
    full_name = models.TextField(blank=True)
    status = models.TextField(blank=True)
    is_listed = models.BooleanField(default=True, help_text="the broker named it when last asked")

    listed_at = models.DateTimeField(null=True)
    is_whole = models.BooleanField(default=False)
    tried_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    looked_at = models.DateTimeField(null=True)

    open_orders = models.PositiveIntegerField(default=0)
    buys = models.PositiveIntegerField(default=0)
    sells = models.PositiveIntegerField(default=0)
    stops = models.PositiveIntegerField(default=0)
    notional = ExactDecimalField()
    unpriced = models.PositiveIntegerField("open orders without a price", default=0)
    oldest_at = models.DateTimeField(null=True)
    arrivals = models.JSONField(
        default=list, help_text="orders that came in each twelfth of the minute before the list, the newest last"
    )

    class Meta:
        default_permissions = ()
        ordering = ("account_id",)

    def __str__(self) -> str:
        return f"{self.account_id} {self.short_name}"

    @property
    def age(self) -> timedelta | None:
        """How old the list of orders is; None where there never was one."""
        return timezone.now() - self.listed_at if self.listed_at else None


class Snapshot(models.Model):
    """The open orders of an account as last listed, compressed."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, primary_key=True, related_name="snapshot")
    listing = models.UUIDField(default=uuid.uuid4, help_text="another one for every list")
    orders = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Orders of {self.account_id}"
