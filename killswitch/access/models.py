from django.db import models


class FailedLogIns(models.Model):
    """How often a name was refused at one address. Neither is what was typed: that may be a password."""

    name_mark = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    count = models.PositiveIntegerField()
    first_at = models.DateTimeField(db_index=True)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name_mark", "address"], name="one_count_per_name_and_address")]
