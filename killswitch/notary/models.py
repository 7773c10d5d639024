"""How far the anchors got, and who makes them. Anchors themselves are part of the record: see `audit`."""

from django.db import models


class Delivery(models.Model):
    """One place, and how far the anchors got there: one after the other, each as often as it takes."""

    place = models.CharField(max_length=300, unique=True)
    delivered = models.BigIntegerField("sequence number of the last anchor that got there", default=0)
    delivered_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    tries = models.IntegerField("tries that failed, one after the other", default=0)
    error = models.TextField(blank=True)
    # When it was last among what a notary is configured to bring anchors to.
    seen_at = models.DateTimeField()
    # When the record was told that anchors do not arrive; empty while they do.
    told_at = models.DateTimeField(null=True)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.place


class Notary(models.Model):
    """A notary, as it last was heard of."""

    host = models.CharField(max_length=255, unique=True)
    seen_at = models.DateTimeField()
    key = models.CharField(max_length=16, blank=True)  # empty: it has none
    contradiction = models.TextField("how the trail contradicts an anchor", blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.host
