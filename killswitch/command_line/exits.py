"""What the command says to other programs by how it ends."""

FLAT, NOT_FLAT, UNKNOWN, REFUSED = range(4)

# Plain words: this is read before Django is set up. A latched kill that is quiet is well.
BY_STATE = {"flat": FLAT, "latched": FLAT, "not_flat": NOT_FLAT}


def exit_status(state: str) -> int:
    """Return 0 for flat, 1 for not flat, 2 for everything that is not known."""
    return BY_STATE.get(state, UNKNOWN)
