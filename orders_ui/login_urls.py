"""Coming in, going out, and what somebody logs in with. allauth finds its own views by their names."""

from allauth.account.views import reauthenticate
from allauth.mfa.base import views as second
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as codes
from allauth.mfa.webauthn import views as passkeys
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.decorators.http import require_http_methods, require_safe

from .views.login import LogIn, again, from_single_sign_on, own_password, to_single_sign_on

reads, sends = require_safe, require_http_methods(["GET", "HEAD", "POST"])
log_in, log_out = LogIn.as_view(), login_not_required(LogoutView.as_view(http_method_names=["post"]))

urlpatterns = [
    path("login/", log_in, name="login"),
    path("login/", log_in, name="account_login"),
    path("login/", log_in, name="socialaccount_login_cancelled"),
    path("logout/", log_out, name="logout"),
    path("logout/", log_out, name="account_logout"),
    path("login/sso/<str:provider_id>/", to_single_sign_on, name="openid_connect_login"),
    path("login/sso/<str:provider_id>/callback/", from_single_sign_on, name="openid_connect_callback"),
    path("login/passkey/", sends(passkeys.login_webauthn), name="mfa_login_webauthn"),
    path("login/second/", sends(second.authenticate), name="mfa_authenticate"),
    path("login/again/", again, name="again"),
    path("login/again/password/", sends(reauthenticate), name="account_reauthenticate"),
    path("login/again/code/", sends(second.reauthenticate), name="mfa_reauthenticate"),
    path("login/again/passkey/", sends(passkeys.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
    path("login/password/", own_password, name="account_change_password"),
    path("second-factor/", reads(second.index), name="mfa_index"),
    path("second-factor/app/", sends(codes.activate_totp), name="mfa_activate_totp"),
    path("second-factor/app/remove/", sends(codes.deactivate_totp), name="mfa_deactivate_totp"),
    path("second-factor/passkeys/", reads(passkeys.list_webauthn), name="mfa_list_webauthn"),
    path("second-factor/passkeys/new/", sends(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("second-factor/passkeys/<int:pk>/remove/", sends(passkeys.remove_webauthn), name="mfa_remove_webauthn"),
    path("second-factor/recovery-codes/", reads(recovery.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "second-factor/recovery-codes/new/", sends(recovery.generate_recovery_codes), name="mfa_generate_recovery_codes"
    ),
]
