"""The forms of the users. A kill is read by `kills.decision`, a search of the trail by `trailform`."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from killswitch.access.lockout import locked_until
from killswitch.access.models import AccountLimit
from killswitch.access.operations import Given
from killswitch.access.roles import ROLES, role_of, teams, teams_of
from killswitch.access.second_factor import has_second_factor
from killswitch.kills.acknowledgements import alarm_named
from killswitch.kills.decision import LARGEST_ACCOUNT
from killswitch.kills.drills import MOST_DAYS, Quarter
from killswitch.kills.meanings import Alarm

MOST_ACCOUNTS = 5000
LIMITS = [("off", "no limit of their own"), ("on", "only these, and those of their teams")]
ROLE_CHOICES = [("", "choose one"), *((role, role) for role in ROLES)]


class AcknowledgeForm(forms.Form):
    """Which alarm of a kill somebody has seen, and how many orders it was about."""

    alarm = forms.CharField(max_length=20)
    count = forms.IntegerField(min_value=1)

    def clean_alarm(self) -> Alarm:
        alarm = alarm_named(self.cleaned_data["alarm"])
        if alarm is None:
            raise ValidationError("There is no such alarm.")
        return alarm


class DrillsForm(forms.Form):
    """Which drills a reader wants to see."""

    year = forms.IntegerField(required=False, min_value=1970, max_value=9998)
    quarter = forms.RegexField(r"^[0-9]{4}-Q[1-4]$", required=False)
    before = forms.UUIDField(required=False)

    def clean_quarter(self) -> Quarter | None:
        text: str = self.cleaned_data["quarter"]
        year = int(text[:4] or 0)
        if text and not 1970 <= year <= 9998:
            raise ValidationError("There is no such quarter.")
        return Quarter(year, int(text[-1])) if text else None

    def clean(self) -> None:
        unknown = sorted(set(self.data) - set(self.fields))
        if unknown:
            raise ValidationError(f"“{unknown[0][:40]}” is not known here: nothing is shown")


class DrillPlanForm(forms.Form):
    """How often a drill is due."""

    every_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        label="A drill is due every … days",
        help_text="Leave empty for no reminder.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )


class LogInForm(AuthenticationForm):
    def get_invalid_login_error(self) -> ValidationError:
        """Say until when it is of no use to go on trying here."""
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        until = locked_until(name=self.cleaned_data.get("username", ""), address=address, now=timezone.now())
        if until is None:
            return super().get_invalid_login_error()
        return ValidationError(
            f"Too many failed log-ins as this user from this address: none is taken here until {until:%H:%M} UTC. "
            "From another machine it goes on."
        )


class OwnPasswordForm(forms.Form):
    """A new password of whoever is logged in. A wrong current one counts as a failed log-in, and locks out as one."""

    current = forms.CharField(
        label="Current password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        strip=False,
    )
    password = forms.CharField(
        label="New password", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False
    )
    again = forms.CharField(
        label="New password, once more", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False
    )

    def __init__(self, data: Any = None, *, request: HttpRequest, user: User) -> None:
        super().__init__(data)
        self._request, self._user = request, user

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        name, address = self._user.get_username(), self._request.META.get("REMOTE_ADDR", "")
        if authenticate(self._request, username=name, password=current) == self._user:
            return current
        until = locked_until(name=name, address=address, now=timezone.now())
        if until is None:
            raise ValidationError("This is not your password.")
        raise ValidationError(f"Too many failed log-ins here: no password is taken until {until:%H:%M} UTC.")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if password == self.cleaned_data.get("current"):
            raise ValidationError("This is the password that you have: choose another.")
        validate_password(password, self._user)
        return password

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if "password" in self.cleaned_data and again != self.cleaned_data["password"]:
            raise ValidationError("The two new passwords are not the same.")
        return again


class NewUserForm(forms.Form):
    name = forms.CharField(
        label="User name",
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False)
    role = forms.ChoiceField(choices=ROLE_CHOICES)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if User.objects.filter(username__iexact=name).exists():
            raise ValidationError("There is a user of that name already.")
        return name

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(username=self.cleaned_data.get("name", "")))
        return password


class AccountsField(forms.CharField):
    """Account numbers, one a line or separated by commas or blanks."""

    def __init__(self, **options: Any) -> None:
        attributes = {"rows": 4, "autocomplete": "off", "spellcheck": "false", "inputmode": "numeric"}
        super().__init__(required=False, widget=forms.Textarea(attrs=attributes), **options)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else "\n".join(map(str, value))

    def clean(self, value: Any) -> tuple[int, ...]:  # type: ignore[override]
        words = super().clean(value).replace(",", " ").split()
        odd = [word for word in words if not _is_account(word)]
        if odd:
            raise ValidationError(f"“{odd[0][:40]}” is no account number: write digits only, one number a line.")
        if len(words) > MOST_ACCOUNTS:
            raise ValidationError(f"These are more than {MOST_ACCOUNTS:,} accounts: shorten the list.")
        return tuple(sorted({int(word) for word in words}))


def _is_account(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 20 and 0 < int(word) <= LARGEST_ACCOUNT


class AccountsForm(forms.Form):
    """The accounts that a team has."""

    sees_all = forms.BooleanField(required=False, label="May see all accounts")
    sees = AccountsField(label="May see these accounts", help_text="One number a line, or separated by commas.")
    kills = AccountsField(label="May see and kill these accounts", help_text="The role says whether they may kill.")

    def given(self) -> Given:
        asked = self.cleaned_data
        return Given(sees_all=asked["sees_all"], sees=asked["sees"], kills=asked["kills"])


class NewTeamForm(AccountsForm):
    field_order = ("name",)
    name = forms.CharField(
        max_length=150,
        validators=[UnicodeUsernameValidator(message="Write letters, digits and @ . + - _ only, without blanks.")],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="It stays: the record and single sign-on know the team by it.",
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Group.objects.filter(name__iexact=name).exists():
            raise ValidationError("There is a team or a role of that name already.")
        return name


class UserAccountsForm(AccountsForm):
    """Whether a user has a limit of their own, which, and in which teams they are."""

    field_order = ("limited",)
    limited = forms.ChoiceField(choices=LIMITS, label="Accounts")
    # Not of rows: a number that no database keeps would break the question for them.
    teams = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What is given to a person and to their teams adds up.",
        error_messages={"invalid_choice": "There is no such team: load the page again."},
    )

    def __init__(self, data: Any = None, *, user: User) -> None:
        limit = AccountLimit.objects.filter(user=user).first()
        given = {name: getattr(limit, name) for name in ("sees_all", "sees", "kills")} if limit else {}
        initial = {**given, "limited": "on" if limit else "off", "teams": [team.pk for team in teams_of(user)]}
        super().__init__(data, initial=initial)
        self.fields["teams"].choices = [(str(team.pk), team.name) for team in teams()]  # type: ignore[attr-defined]

    def clean_teams(self) -> list[Group]:
        return list(teams().filter(pk__in=self.cleaned_data["teams"]))

    def clean(self) -> None:
        asked = self.cleaned_data
        if asked.get("limited") == "off" and any(asked.get(name) for name in ("sees_all", "sees", "kills")):
            self.add_error("limited", "Accounts stand below: choose “only these”, or take them out.")

    def limit(self) -> Given | None:
        return self.given() if self.cleaned_data["limited"] == "on" else None


class ChangeUserForm(forms.Form):
    role = forms.ChoiceField(choices=ROLE_CHOICES)
    is_active = forms.BooleanField(required=False, label="May log in")
    password = forms.CharField(
        required=False,
        label="New password",
        help_text="Leave empty to keep the one there is.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
    )

    forget_second_factor = forms.BooleanField(
        required=False,
        label="Forget the second factor",
        help_text="For somebody who lost it: passkeys, codes and recovery codes end. Be sure who is asking.",
    )

    def __init__(self, data: Any = None, *, user: User, is_self: bool) -> None:
        super().__init__(data, initial={"role": role_of(user), "is_active": user.is_active})
        self._user = user
        if not has_second_factor(user):
            del self.fields["forget_second_factor"]
        # Disabled fields keep what is there, whatever is posted.
        self.fields["role"].disabled = self.fields["is_active"].disabled = is_self

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if password:
            validate_password(password, self._user)
        return password
