"""What of the audit trail its reader may see: all of it, or what is of their accounts and what they did themselves."""

import uuid
from functools import cached_property

from django.http import HttpRequest

from killswitch.access.accounts import accounts_in
from killswitch.audit.models import Entry
from killswitch.audit.queries import find
from killswitch.audit.search import Only, Search
from killswitch.audit.slices import Name
from killswitch.kills.models import Kill
from killswitch.kills.queries import within


class Reader:
    def __init__(self, request: HttpRequest) -> None:
        self._user = request.user
        self._sees = accounts_in(request).sees
        self._whole: dict[uuid.UUID, bool] = {}

    @property
    def is_limited(self) -> bool:
        return self._sees is not None

    def only(self, kill_id: uuid.UUID | None) -> Only | None:
        """Return what a search has to be limited to; of a kill whose accounts may all be seen, all is."""
        return None if kill_id is not None and self.sees_kill(kill_id) else self._only

    @cached_property
    def _only(self) -> Only | None:
        if self._sees is None:
            return None
        name, account_ids = self._user.get_username(), tuple(sorted(self._sees))
        return Only(account_ids=account_ids, actor_id=self._user.pk or 0, actor_name=name)

    def sees_kill(self, kill_id: uuid.UUID) -> bool:
        if kill_id not in self._whole:
            self._whole[kill_id] = within(Kill.objects.filter(pk=kill_id), self._sees).exists()
        return self._whole[kill_id]

    def sees(self, entry: Entry) -> bool:
        if self._only is None or self._only.covers(entry):
            return True
        return entry.kill_id is not None and self.sees_kill(entry.kill_id)

    def recognises(self, name: Name) -> bool:
        """Say whether an entry that may be seen holds a value: what is elsewhere is not told by name either."""
        return self._only is None or bool(find(Search(only=self._only, **{name.column: name.value}), size=1).entries)
