"""Coming in: by password, by passkey, by the firm's own log-in. And showing again who one is."""

from typing import Any, cast

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.socialaccount.providers.openid_connect.views import callback, login
from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from requests import RequestException

from killswitch.access.operations import change_own_password
from killswitch.access.refusal import refused_log_in
from killswitch.access.roles import actor_of

from ..forms import LogInForm, OwnPasswordForm
from ..shown import show

HAS_CHANGED = "own_password_has_changed"


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")
class LogIn(LoginView):
    template_name = "login.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True
    extra_context = {"title": "Log in"}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Let in, or ask for the second factor of who has one."""
        user, address = form.get_user(), self.get_success_url()
        credentials = {"username": user.get_username()}
        answer: HttpResponse = perform_password_login(self.request, credentials, Login(user=user, redirect_url=address))
        return answer

    @property
    def was_not_sent(self) -> bool:
        return "not_sent" in self.request.GET

    @property
    def sso_name(self) -> str:
        return settings.SSO_NAME if settings.SSO_ISSUER else ""


@login_not_required
@require_safe
def to_single_sign_on(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    return _or_say_so(request, login, provider_id)


@login_not_required
@require_safe
def from_single_sign_on(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    return _or_say_so(request, callback, provider_id)


def _or_say_so(request: HttpRequest, view: Any, provider_id: str) -> HttpResponseBase:
    """Take the way over the identity provider; one that does not answer leaves the other ways open."""
    try:
        answer: HttpResponseBase = view(request, provider_id)
    except RequestException:
        return refused_log_in(request, why=f"{settings.SSO_NAME} does not answer", status=503)
    return answer


@require_safe
def again(request: HttpRequest) -> HttpResponse:
    """Send somebody who is logged in to where they show again who they are, and back."""
    wanted = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    query = {"next": wanted if is_ours else reverse("desk")}
    if request.GET.get("not_sent"):
        query["not_sent"] = "1"
    if isinstance(request.user, User) and not request.user.has_usable_password() and settings.SSO_ISSUER:
        address = reverse("openid_connect_login", args=[settings.SSO_ID])
        return redirect(f"{address}?{urlencode({**query, 'auth_params': 'prompt=login'})}")
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode(query)}")


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def own_password(request: HttpRequest) -> HttpResponse:
    """Let somebody who has a password here choose another. Their other sessions end, this one goes on."""
    user = cast(User, request.user)
    if not user.has_usable_password():
        return show(request, "password_elsewhere.html", {"sso_name": settings.SSO_NAME}, status=404)
    form = OwnPasswordForm(request.POST if request.method == "POST" else None, request=request, user=user)
    if form.is_valid():
        change_own_password(user=user, password=form.cleaned_data["password"], actor=actor_of(request))
        update_session_auth_hash(request, user)
        request.session[HAS_CHANGED] = True
        return redirect("account_change_password")
    context = {"form": form, "is_changed": request.session.pop(HAS_CHANGED, False)}
    return show(request, "own_password.html", context, status=400 if form.is_bound else 200)
