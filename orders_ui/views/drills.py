from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from killswitch.access.accounts import accounts_in
from killswitch.access.roles import RISK_DESK, actor_of, may_kill, may_see
from killswitch.kills.drills import record_begins, reminder, schedule, years

from ..drillview import QuarterView, one_quarter, year_of_quarters
from ..forms import DrillPlanForm, DrillsForm
from ..guard import needs
from ..shown import show


@require_http_methods(["GET", "HEAD", "POST"])
def drills(request: HttpRequest) -> HttpResponseBase:
    return set_interval(request) if request.method == "POST" else all_drills(request)


@needs(may_see, "see drills")
def all_drills(request: HttpRequest) -> HttpResponse:
    return _show(request)


@needs(may_kill, "schedule drills", role=RISK_DESK)
def set_interval(request: HttpRequest) -> HttpResponse:
    form = DrillPlanForm(request.POST)
    if not form.is_valid():
        return _show(request, plan_form=form)
    schedule(form.cleaned_data["every_days"], actor=actor_of(request), now=timezone.now())
    return HttpResponseRedirect(reverse("drills"), status=303)


def _show(request: HttpRequest, *, plan_form: DrillPlanForm | None = None) -> HttpResponse:
    now, sees = timezone.now(), accounts_in(request).sees
    due = reminder(now)
    asked = DrillsForm(request.GET)
    views: list[QuarterView] = []
    if asked.is_valid():
        quarter, year = asked.cleaned_data["quarter"], asked.cleaned_data["year"] or now.year
        if quarter:
            year, views = quarter.year, [one_quarter(quarter, now, sees, before=asked.cleaned_data["before"])]
        else:
            views = year_of_quarters(year, now, sees)
        context: dict[str, Any] = {"year": year, "is_one_quarter": bool(quarter)}
    else:
        context = {"errors": [words for words_of in asked.errors.values() for words in words_of]}
    context |= {
        "quarters": views,
        "years": years(now),
        "begins": record_begins(now),
        "due": due,
        "form": plan_form or DrillPlanForm(initial={"every_days": due.every_days}),
        "now": now,
    }
    return show(request, "drills.html", context, status=400 if context.get("errors") or plan_form else 200)
