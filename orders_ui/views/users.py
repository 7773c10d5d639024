from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from killswitch.access.models import AccountLimit
from killswitch.access.operations import add_user, change_user, limit_user
from killswitch.access.roles import ADMINISTRATOR, actor_of, may_manage_users, teams_of

from ..forms import ChangeUserForm, NewUserForm, UserAccountsForm
from ..guard import fresh, needs, refuse
from ..limits import gives_accounts
from ..shown import show
from ..teamview import limit_words, not_in_the_book, some_accounts, user_rows


@require_safe
@needs(may_manage_users, "manage users", role=ADMINISTRATOR)
def users(request: HttpRequest) -> HttpResponse:
    return show(request, "users.html", {"users": user_rows()})


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_manage_users, "manage users", role=ADMINISTRATOR)
@fresh
def new_user(request: HttpRequest) -> HttpResponse:
    form = NewUserForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, "new_user.html", {"form": form}, status=400 if form.is_bound else 200)
    add_user(**form.cleaned_data, actor=actor_of(request))
    return redirect("users")


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_manage_users, "manage users", role=ADMINISTRATOR)
@fresh
def user(request: HttpRequest, user_id: int) -> HttpResponse:
    found = get_object_or_404(User, pk=user_id, is_superuser=False)
    form = ChangeUserForm(
        request.POST if request.method == "POST" else None, user=found, is_self=found.pk == request.user.pk
    )
    if not form.is_valid():
        context = {"form": form, "found": found, "accounts": limit_words(_limit(found)), "teams": teams_of(found)}
        return show(request, "user.html", context, status=400 if form.is_bound else 200)
    change_user(user=found, **form.cleaned_data, actor=actor_of(request))
    return redirect("users")


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_manage_users, "give accounts to users", role=ADMINISTRATOR)
@gives_accounts
@fresh
def user_accounts(request: HttpRequest, user_id: int) -> HttpResponseBase:
    """Say which accounts a user may see and kill, and in which teams they are."""
    found = get_object_or_404(User, pk=user_id, is_superuser=False)
    if found.pk == request.user.pk:
        return refuse(request, "change your own accounts: another administrator does", "")
    form = UserAccountsForm(request.POST if request.method == "POST" else None, user=found)
    if not form.is_valid():
        unknown = not_in_the_book(_limit(found))
        context = {"form": form, "found": found, "unknown": unknown, "known": some_accounts()}
        return show(request, "user_accounts.html", context, status=400 if form.is_bound else 200)
    limit_user(user=found, given=form.limit(), teams=form.cleaned_data["teams"], actor=actor_of(request))
    return redirect("user_accounts", found.pk)


def _limit(user: User) -> AccountLimit | None:
    return AccountLimit.objects.filter(user=user).first()
