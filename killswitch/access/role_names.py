"""The three roles, and the people of `make demo` who have them. Needs no Django."""

RISK_DESK = "risk desk"
COMPLIANCE = "compliance"
ADMINISTRATOR = "administrator"
ROLES = (RISK_DESK, COMPLIANCE, ADMINISTRATOR)

DEMO_USERS = {"desk": RISK_DESK, "desk2": RISK_DESK, "compliance": COMPLIANCE, "admin": ADMINISTRATOR}
