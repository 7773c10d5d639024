"""The append-only record. Knows no other room."""
