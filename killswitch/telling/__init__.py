"""Telling others: mail, chats and pagers hear of a kill, its end, and whatever a person has to see to."""
