"""What pages keep of their own. Nothing of the business, and nothing that anybody else reads."""

from django.db import models


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
