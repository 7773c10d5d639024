"""Anchors of the audit trail: sign its head, and bring the signature to places that the database cannot reach."""
