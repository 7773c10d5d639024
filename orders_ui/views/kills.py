import uuid
from typing import cast

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from killswitch.access.accounts import accounts_in
from killswitch.access.roles import RISK_DESK, actor_of, may_kill, may_see
from killswitch.book.operations import keep_watched
from killswitch.book.queries import known_account_ids
from killswitch.kills.acknowledgements import acknowledge as note
from killswitch.kills.acknowledgements import name_of
from killswitch.kills.decision import (
    MAX_REASON,
    Decision,
    InvalidDecision,
    read_afterthought,
    read_decision,
    read_release,
)
from killswitch.kills.models import Kill
from killswitch.kills.operations import KeyReused, engage, is_of, record_refusal
from killswitch.kills.queries import as_json, as_they_stand, recent_kills, touching, within
from killswitch.kills.reasons import ReasonStands, give_reason
from killswitch.kills.release import NotReleased, SamePerson, record_refused_release
from killswitch.kills.release import release as let_go
from killswitch.which_broker import in_words

from .. import looking
from ..confirmation import SELECTED_AT_MOST, Confirmation, Preview
from ..followed import TABLES, followed
from ..forms import AcknowledgeForm
from ..guard import MADE_FOR, PRESSED, decision_in, fresh, needs, posted
from ..killview import Help, KillInPart, KillView, Release, Why, kill_rows
from ..limits import all_of_theirs, beyond, kills_all_of, refuse_for_accounts, sees_kill
from ..marks import digest_of_page, seen, written
from ..models import Looking
from ..reach import OPENING_FIELDS, InvalidOpening, Opening
from ..shown import show
from ..together import fresh_since, together

KILLS_ON_A_PAGE = 50
# What the buttons of the confirmation say that they are.
DRY, KILL = "dry", "kill"
OTHER_THAN_THE_BOX = {
    DRY: "the button said dry run and the box did not: nothing was sent",
    KILL: "the box said dry run and the button did not: nothing was sent",
}


@require_http_methods(["GET", "HEAD", "POST"])
def kills(request: HttpRequest) -> HttpResponseBase:
    return press(request) if request.method == "POST" else all_kills(request)


@needs(may_see, "see kills")
def all_kills(request: HttpRequest) -> HttpResponse:
    sees = accounts_in(request).sees
    page = Paginator(touching(recent_kills(), sees), KILLS_ON_A_PAGE).get_page(request.GET.get("page"))
    page.object_list = as_they_stand(page.object_list)
    return show(request, "kills.html", {"kills": page, "rows": kill_rows(page.object_list, sees)})


@needs(may_kill, "engage a kill", role=RISK_DESK)
def press(request: HttpRequest) -> HttpResponseBase:
    asked = decision_in(request)
    if what := beyond(accounts_in(request), asked):
        return refuse_for_accounts(request, what)
    try:
        kill = _engage(request, asked)
    except InvalidDecision as error:
        return _not_sent(request, asked, error.errors)
    except KeyReused as error:
        return _not_sent(request, asked, {"idempotency_key": str(error)})
    return _go_to(request, reverse("kill", args=[kill.id]))


def _engage(request: HttpRequest, asked: dict[str, list[str]]) -> Kill:
    if request.GET:
        raise InvalidDecision(dict.fromkeys(request.GET, "stood in the address, where a kill reads nothing"))
    decision = read_decision(asked)
    _check_button(request, decision)
    _check_broker(request)
    known = known_account_ids() if decision.all_accounts else ()
    return engage(decision=decision, known_account_ids=known, actor=actor_of(request), now=timezone.now())


def _check_button(request: HttpRequest, decision: Decision) -> None:
    """Raise InvalidDecision where the button that was pressed says something else than the dry run box.

    Only a style sheet decides which of the two buttons is seen.
    """
    pressed = posted(request).get(PRESSED, [])
    if not pressed or pressed == [DRY if decision.dry_run else KILL]:
        return
    words = OTHER_THAN_THE_BOX.get("".join(pressed), "it is not known which button was pressed: nothing was sent")
    raise InvalidDecision({"dry_run": words})


def _check_broker(request: HttpRequest) -> None:
    """Raise InvalidDecision where the page was made while another broker was reached than is now."""
    made_for, here = posted(request).get(MADE_FOR, []), in_words()
    if not made_for or made_for == [here]:
        return
    words = (
        f"this page was made for {', '.join(made_for)[:100]}, and a kill would go to {here} now: look, and press again"
    )
    raise InvalidDecision({"idempotency_key": words})


def _not_sent(request: HttpRequest, asked: dict[str, list[str]], errors: dict[str, str]) -> HttpResponse:
    why = "; ".join(f"{name[:80]}: {words}" for name, words in list(errors.items())[:40])
    record_refusal(actor=actor_of(request), why=why, asked=posted(request), now=timezone.now())
    context = {"confirmation": Confirmation(asked, errors=errors, accounts=accounts_in(request)), "not_sent": True}
    return show(request, "confirm.html", context, status=400)


def _go_to(request: HttpRequest, address: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address, status=303)


@require_safe
@needs(may_kill, "engage a kill", role=RISK_DESK)
def confirm(request: HttpRequest) -> HttpResponseBase:
    accounts = accounts_in(request)
    asked = all_of_theirs(accounts, dict(request.GET.lists()))
    if what := beyond(accounts, asked):
        return refuse_for_accounts(request, what)
    try:
        confirmation = Confirmation(asked, decision=_read(asked), accounts=accounts)
    except InvalidDecision as error:
        confirmation = Confirmation(asked, errors=error.errors, accounts=accounts)
    return show(request, "confirm.html", {"confirmation": confirmation}, status=400 if confirmation.errors else 200)


def _read(asked: dict[str, list[str]]) -> Decision:
    if len(asked.get("order_id", ())) > SELECTED_AT_MOST:
        raise InvalidDecision(
            {"order_id": f"more than {SELECTED_AT_MOST} orders are selected: use the filter of the account instead"}
        )
    return read_decision(asked)


@require_safe
@needs(may_kill, "engage a kill", role=RISK_DESK)
def reach(request: HttpRequest) -> HttpResponseBase:
    """Show what a decision reaches now, and what has changed since its confirmation was opened."""
    asked, accounts = dict(request.GET.lists()), accounts_in(request)
    scope = {name: values for name, values in asked.items() if name not in OPENING_FIELDS}
    theirs = all_of_theirs(accounts, scope)
    if what := beyond(accounts, theirs):
        return refuse_for_accounts(request, what)
    try:
        preview = Preview(_read(theirs), scope, Opening.read(asked))
    except (InvalidDecision, InvalidOpening):
        return HttpResponseBadRequest("What is asked for is not understood. Nothing has been sent.", "text/plain")
    keep_watched(preview.decision.account_ids, now=timezone.now())
    return show(request, "_reach.html", {"preview": preview})


@require_safe
@needs(may_see, "see kills")
def by_key(request: HttpRequest, key: uuid.UUID) -> JsonResponse:
    """Say whether a form was sent, by its key; with a token to send it again after another log-in.

    A form may have been changed between two presses: whether the kill is of the fields in the address is said, too.
    """
    found = Kill.objects.filter(idempotency_key=key).first()
    # One's own is found in any case: a limit that was narrowed meanwhile must not turn what was sent into NOT SENT.
    if found and found.engaged_by_id != request.user.pk and not _is_within(request, found):
        found = None
    told = {
        "kill": reverse("kill", args=[found.id]) if found else None,
        "is_of_these_fields": _is_of_these_fields(request, found) if found and request.GET else None,
        "csrf_token": get_token(request),
    }
    return JsonResponse(told, headers={"Cache-Control": "no-store"})


def _is_within(request: HttpRequest, kill: Kill) -> bool:
    return within(Kill.objects.filter(pk=kill.pk), accounts_in(request).sees).exists()


def _is_of_these_fields(request: HttpRequest, kill: Kill) -> bool:
    try:
        return is_of(kill, read_decision(dict(request.GET.lists())), actor_of(request))
    except InvalidDecision:
        return False


def _in_part(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    """Show of a kill that reaches further what became of the accounts that the reader may see."""
    found = KillInPart(get_object_or_404(Kill, pk=kill_id), accounts_in(request).sees or ())
    return show(request, "kill_in_part.html", {"kill": found}, part="_kill_in_part.html")


@require_safe
@needs(may_see, "see a kill")
@sees_kill("see a kill", in_part=_in_part)
def kill(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    return _follow(request, kill_id) if request.headers.get("HX-Request") else _show_kill(request, kill_id)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_kill, "release a kill", role=RISK_DESK)
@sees_kill("release a kill")
@kills_all_of("release a kill")
@fresh
def release(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    """Release a latched kill; asked for with GET, show its page so that it holds still for whoever types."""
    found = get_object_or_404(Kill, pk=kill_id)
    if request.method != "POST":
        return _show_kill(request, kill_id, holds_still=True)
    asked = posted(request)
    try:
        let_go(found, reason=_read_release(request, asked), actor=actor_of(request), now=timezone.now())
    except InvalidDecision as error:
        return _not_released(request, found, asked, error.errors)
    except SamePerson as error:
        return _not_released(request, found, asked, {"": str(error)}, status=403)
    except NotReleased as error:
        return _not_released(request, found, asked, {"": str(error)})
    return _go_to(request, reverse("kill", args=[found.id]))


def _read_release(request: HttpRequest, asked: dict[str, list[str]]) -> str:
    if request.GET:
        raise InvalidDecision(dict.fromkeys(request.GET, "stood in the address, where a release reads nothing"))
    return read_release(asked)


def _not_released(
    request: HttpRequest, kill: Kill, asked: dict[str, list[str]], errors: dict[str, str], status: int = 400
) -> HttpResponse:
    why = "; ".join(f"{name[:80]}: {words}" if name else words for name, words in list(errors.items())[:40])
    reason = "".join(asked.get("reason", ("",))[:1])
    record_refused_release(kill, why=why, reason=reason[:MAX_REASON], actor=actor_of(request), now=timezone.now())
    return _show_kill(request, kill.id, release=(asked, errors), holds_still=True, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(may_kill, "say why a kill was pressed", role=RISK_DESK)
@sees_kill("say why a kill was pressed")
def reason(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    """Say afterwards why a kill was pressed; asked for with GET, show its page so that it holds still."""
    found = get_object_or_404(Kill, pk=kill_id)
    if request.method != "POST":
        return _show_kill(request, found.id, holds_still=True)
    asked = posted(request)
    try:
        give_reason(found, reason=read_afterthought(asked), actor=actor_of(request), now=timezone.now())
    except InvalidDecision as error:
        return _show_kill(request, found.id, why=(asked, error.errors), holds_still=True, status=400)
    except ReasonStands as error:
        return _show_kill(request, found.id, why=(asked, {"": str(error)}), holds_still=True, status=400)
    return _go_to(request, reverse("kill", args=[found.id]))


# What was typed into a form of the page, and what is wrong with it.
Typed = tuple[dict[str, list[str]], dict[str, str]]


def _show_kill(
    request: HttpRequest,
    kill_id: uuid.UUID,
    *,
    release: Typed = ({}, {}),
    why: Typed = ({}, {}),
    holds_still: bool = False,
    status: int = 200,
) -> HttpResponse:
    """Show a kill as it stood at one moment since it was asked for; read and drawn once for all who waited for it."""
    shared = followed(kill_id, request)
    view, may, looking_at = shared.view, may_kill(request.user), _lookers(request, shared.view)
    context = {
        "kill": view,
        "tables": shared.on_page(request),
        "looking": _others(request, looking_at),
        "release": Release(view.kill, actor_of(request), may and _kills_all_of(request, view.kill), *release),
        "why": Why(view.kill, may, *why),
        "help": Help,
        "holds_still": holds_still,
        "marks": written(shared.marks),
    }
    answer = show(request, "kill.html", context, status=status)
    _note_looking(request, view, looking_at)
    return answer


def _kills_all_of(request: HttpRequest, kill: Kill) -> bool:
    accounts = accounts_in(request)
    return not accounts.is_limited or within(Kill.objects.filter(pk=kill.pk), accounts.kills).exists()


def _follow(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    """Answer a poll with what has changed on the page; with nothing (204) where nothing has."""
    shared = followed(kill_id, request)
    looking_at = _lookers(request, shared.view)
    always = shared.drawn(request, looking=_others(request, looking_at))
    marks, before = {"kill": digest_of_page(always), **shared.marks}, seen(request)
    changed = [name for name, mark in marks.items() if before.get(name) != mark]
    tables = [shared.table(name, request) for name in changed if name in TABLES]
    end = render_to_string("_kill_marks.html", {"marks": written(marks), "is_part": True})
    answer = HttpResponse([always, *tables, end]) if changed else HttpResponse(status=204)
    _note_looking(request, shared.view, looking_at)
    answer["Cache-Control"] = "no-store"
    patch_vary_headers(answer, ["HX-Request"])
    return answer


def _lookers(request: HttpRequest, view: KillView) -> list[Looking]:
    """Return who has a running kill before them, the reader among them."""
    if not view.is_running:
        return []
    kill_id = view.kill.id
    return together(("looking", kill_id), lambda: looking.lookers(kill_id, timezone.now()), since=fresh_since(request))


def _note_looking(request: HttpRequest, view: KillView, looking_at: list[Looking]) -> None:
    """Note that the reader follows it, for the others who do; not while the page is in a tab that nobody sees."""
    if view.is_running and not request.headers.get("X-Unseen"):
        looking.note(view.kill.id, cast("User", request.user), timezone.now(), looking_at)


def _others(request: HttpRequest, looking_at: list[Looking]) -> list[str]:
    return [each.user_name for each in looking_at if each.user_id != request.user.pk]


@require_POST
@needs(may_kill, "acknowledge an alarm", role=RISK_DESK)
@sees_kill("acknowledge an alarm")
def acknowledge(request: HttpRequest, kill_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Kill, pk=kill_id)
    form = AcknowledgeForm(request.POST)
    if not form.is_valid():
        raise BadRequest(form.errors.as_text())
    alarm, count = form.cleaned_data["alarm"], form.cleaned_data["count"]
    note(found, alarm, count=count, actor=actor_of(request), now=timezone.now())
    if request.headers.get("HX-Request"):
        return _follow(request, found.id)
    return HttpResponseRedirect(f"{reverse('kill', args=[found.id])}#alarm-{name_of(alarm)}", status=303)


@require_safe
@needs(may_see, "see a kill")
@sees_kill("see a kill as JSON")
def kill_json(request: HttpRequest, kill_id: uuid.UUID) -> JsonResponse:
    return JsonResponse(as_json(get_object_or_404(Kill, pk=kill_id)), headers={"Cache-Control": "no-store"})
