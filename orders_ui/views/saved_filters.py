from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from killswitch.access.roles import may_see
from killswitch.kills.decision import InvalidDecision

from ..guard import needs
from ..limits import sees_account
from ..saved import SaveForm, saved_filters_of
from ..shown import show


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_see, "save a filter")
@sees_account
def saved_filters(request: HttpRequest, account_id: int) -> HttpResponse:
    """Save the filter that is applied, or delete one; go back to the account."""
    back = reverse("account", args=[account_id])
    if request.method != "POST":
        return HttpResponseRedirect(back)
    if request.POST.get("delete", "").isdecimal():
        get_object_or_404(saved_filters_of(request.user), pk=int(request.POST["delete"][:18])).delete()
        return HttpResponseRedirect(back, status=303)
    form = SaveForm(request.POST, cast(User, request.user))
    try:
        query = form.save(request.POST) if form.is_valid() else ""
    except InvalidDecision as error:
        form.add_error(None, str(error))
    if form.errors:
        return show(request, "not_saved.html", {"form": form, "back": back}, status=400)
    return HttpResponseRedirect(f"{back}?{query}", status=303)
