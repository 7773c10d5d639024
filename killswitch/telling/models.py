"""How far each place has been told."""

from django.db import models


class Delivery(models.Model):
    """One place, and how far along the audit trail it has been told."""

    # Made of its address by a keyed hash: the same place is known again, and its address stands nowhere.
    key = models.CharField(max_length=32, unique=True)
    name = models.CharField("how it is called on pages", max_length=60)
    position = models.PositiveIntegerField(default=0)
    followed = models.BigIntegerField("sequence number of the last entry that it was told of, or that is no news")
    told_at = models.DateTimeField("when it last took a message", null=True)
    failing_since = models.DateTimeField(null=True)
    tries = models.IntegerField("tries that failed, one after the other", default=0)
    # Since the place is known; empty where there was none. A column that comes later may have no default.
    told_count = models.BigIntegerField("messages that it took", null=True)
    failed_count = models.BigIntegerField("tries that failed", null=True)
    error = models.TextField(blank=True)
    # When it was last among what a teller is configured to tell.
    seen_at = models.DateTimeField()
    # When the record was told that messages do not arrive; empty while they do.
    recorded_at = models.DateTimeField(null=True)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
