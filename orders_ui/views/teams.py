from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from killswitch.access.models import AccountLimit
from killswitch.access.operations import OwnRights, add_team, change_team
from killswitch.access.roles import ADMINISTRATOR, actor_of, may_manage_users
from killswitch.access.roles import teams as all_teams

from ..forms import AccountsForm, NewTeamForm
from ..guard import fresh, needs, refuse
from ..limits import gives_accounts
from ..shown import show
from ..teamview import TeamRow, not_in_the_book, some_accounts, team_rows


@require_safe
@needs(may_manage_users, "manage teams", role=ADMINISTRATOR)
@gives_accounts
def teams(request: HttpRequest) -> HttpResponse:
    return show(request, "teams.html", {"teams": team_rows()})


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_manage_users, "manage teams", role=ADMINISTRATOR)
@gives_accounts
@fresh
def new_team(request: HttpRequest) -> HttpResponseBase:
    form = NewTeamForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        context = {"form": form, "known": some_accounts()}
        return show(request, "team.html", context, status=400 if form.is_bound else 200)
    team = add_team(name=form.cleaned_data["name"], given=form.given(), actor=actor_of(request))
    return redirect("team", team.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_manage_users, "manage teams", role=ADMINISTRATOR)
@gives_accounts
@fresh
def team(request: HttpRequest, team_id: int) -> HttpResponseBase:
    found = get_object_or_404(all_teams(), pk=team_id)
    limit = AccountLimit.objects.filter(group=found).first()
    form = AccountsForm(request.POST if request.method == "POST" else None, initial=_initial(limit))
    if not form.is_valid():
        return _show(request, form, found, limit)
    try:
        change_team(team=found, given=form.given(), actor=actor_of(request))
    except OwnRights:
        return refuse(request, "change the accounts of your own team: another administrator does", "")
    return redirect("team", found.pk)


def _initial(limit: AccountLimit | None) -> dict[str, object]:
    return {"sees_all": limit.sees_all, "sees": limit.sees, "kills": limit.kills} if limit else {}


def _show(request: HttpRequest, form: AccountsForm, team: Group, limit: AccountLimit | None) -> HttpResponse:
    context = {"form": form, "row": TeamRow(team), "unknown": not_in_the_book(limit), "known": some_accounts()}
    return show(request, "team.html", context, status=400 if form.is_bound else 200)
