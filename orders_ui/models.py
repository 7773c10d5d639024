"""What pages keep of their own: what a person keeps for themselves, and who looks. Nothing of the business."""

from django.contrib.auth.models import User
from django.db import models


class SavedFilter(models.Model):
    """A filter of the orders that somebody wants again, as a part of an address."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_filters")
    name = models.CharField(max_length=60)
    query = models.TextField()

    class Meta:
        default_permissions = ()
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=("user", "name"), name="one_saved_filter_of_a_name")]

    def __str__(self) -> str:
        return self.name


class Looking(models.Model):
    """Who has a kill's page before them. No foreign keys: their checks would lock rows that a kill needs."""

    kill_id = models.UUIDField()
    user_id = models.BigIntegerField()
    user_name = models.CharField(max_length=150)
    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["kill_id", "user_id"], name="one_row_per_looker")]

    def __str__(self) -> str:
        return f"{self.user_name} looks at kill {self.kill_id}"
