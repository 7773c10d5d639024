from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path, register_converter

from .converters import NumberConverter
from .views import (
    account,
    audit,
    desk,
    drills,
    errors,
    exports,
    incident,
    kills,
    light,
    saved_filters,
    telling,
    trail_files,
    users,
    verification,
)

register_converter(NumberConverter, "number")

urlpatterns = [
    path("", desk.desk, name="desk"),
    path("accounts/", account.choose, name="choose"),
    path("accounts/<number:account_id>/", account.account, name="account"),
    path("accounts/<number:account_id>/rows/", account.more, name="more_orders"),
    path("accounts/<number:account_id>/orders.txt", account.text, name="orders_text"),
    path("accounts/<number:account_id>/filters/", saved_filters.saved_filters, name="saved_filters"),
    path("kills/", kills.kills, name="kills"),
    path("kills/new/", kills.confirm, name="confirm"),
    path("kills/new/reach/", kills.reach, name="reach"),
    path("kills/by-key/<uuid:key>.json", kills.by_key, name="by_key"),
    path("kills/<uuid:kill_id>/", kills.kill, name="kill"),
    path("kills/<uuid:kill_id>/release/", kills.release, name="release"),
    path("kills/<uuid:kill_id>/reason/", kills.reason, name="reason"),
    path("kills/<uuid:kill_id>/acknowledge/", kills.acknowledge, name="acknowledge"),
    path("kills/<uuid:kill_id>/call-sheet/", incident.call_sheet, name="call_sheet"),
    path("kills/<uuid:kill_id>/call-sheet.txt", incident.call_sheet_text, name="call_sheet_text"),
    path("kills/<uuid:kill_id>/summary/", incident.summary, name="summary"),
    path("kills/<uuid:kill_id>/pack.zip", incident.pack, name="pack"),
    path("kills/<uuid:kill_id>.json", kills.kill_json, name="kill_json"),
    path("drills/", drills.drills, name="drills"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export.<str:name>", exports.export, name="export"),
    path("audit/<number:entry_id>/", audit.entry, name="entry"),
    path("audit/verification/", verification.verification, name="verification"),
    path("audit/anchors.jsonl", trail_files.anchors, name="anchors"),
    path("audit/verify_export.py", trail_files.verifier, name="verifier"),
    path("audit/public-key.pem", trail_files.public_key, name="public_key"),
    path("telling/", telling.telling, name="telling"),
    path("users/", users.users, name="users"),
    path("users/new/", users.new_user, name="new_user"),
    path("users/<number:user_id>/", users.user, name="user"),
    path("login/", users.LogIn.as_view(), name="login"),
    path("logout/", login_not_required(LogoutView.as_view()), name="logout"),
    path("light/", light.light, name="light"),
    path("healthz", errors.healthz, name="healthz"),
    path("readyz", light.readyz, name="readyz"),
]
