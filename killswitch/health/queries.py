"""What can be said about the product's own parts."""

from django.db import Error, connection


def database_answers() -> bool:
    """Say whether the database answers a question."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except Error:
        return False
