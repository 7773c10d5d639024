from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from killswitch.access.operations import add_user, change_user
from killswitch.access.roles import ADMINISTRATOR, actor_of, may_manage_users

from ..forms import ChangeUserForm, NewUserForm
from ..guard import fresh, needs
from ..rows import user_rows
from ..shown import show


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
        return show(request, "user.html", {"form": form, "found": found}, status=400 if form.is_bound else 200)
    change_user(user=found, **form.cleaned_data, actor=actor_of(request))
    return redirect("users")
