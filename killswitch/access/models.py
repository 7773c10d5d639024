from django.contrib.auth.models import Group, User
from django.db import models
from django.db.models import Q


class FailedLogIns(models.Model):
    """How often a name was refused at one address. Neither is what was typed: that may be a password."""

    name_mark = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    count = models.PositiveIntegerField()
    first_at = models.DateTimeField(db_index=True)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name_mark", "address"], name="one_count_per_name_and_address")]


class AccountLimit(models.Model):
    """The accounts that one user, or everybody in one team, may see and kill. One that is empty limits as well."""

    user = models.OneToOneField(User, null=True, on_delete=models.CASCADE, related_name="account_limit")
    # Without its limit a team would let its people see everything: that goes first, by name.
    group = models.OneToOneField(Group, null=True, on_delete=models.PROTECT, related_name="account_limit")
    sees_all = models.BooleanField(default=False)
    sees = models.JSONField("accounts that may be seen", default=list)
    kills = models.JSONField("accounts that may be seen and killed", default=list)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True, group__isnull=False) | Q(user__isnull=False, group__isnull=True),
                name="limit_of_one_user_or_one_group",
            )
        ]

    def __str__(self) -> str:
        return f"limit of {self.user or self.group}"
