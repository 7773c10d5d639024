"""What can go wrong between us and the broker. The tree is closed: a call raises one of these and nothing else.

BrokerError
├── RefusedKey        401: the key is wrong, revoked or missing
├── NoPermission      403: the key may not do this
├── NotFound          404
│   ├── NothingMatches    the filter matched no open order: a good answer
│   ├── NoSuchOrder       the account has no such order
│   └── NoSuchAccount     no such account, or a 404 whose words nobody knows
├── BadRequest        400 and other 4xx: the broker did not accept the filter
├── Throttled         429: too many requests
├── BrokerFailed      5xx: the broker failed; the request may have taken effect
├── Unreachable       never sent: no connection could be made
└── OutcomeUnknown    sent, and no usable answer came back
"""


class BrokerError(Exception):
    """A call to the broker that did not end in its documented answer.

    `maybe_acted` says whether the broker may have carried the request out all the same.
    """

    code = "broker_error"
    maybe_acted = False

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        request_id: str = "",
        latency: float = 0.0,
        retry_after: float | None = None,
        clock_offset: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.request_id = request_id
        self.latency = latency  # seconds
        self.clock_offset = clock_offset  # seconds, as in an Answer
        self.retry_after = retry_after  # seconds, as the broker said; None where it did not


class RefusedKey(BrokerError):
    code = "refused_key"


class NoPermission(BrokerError):
    code = "no_permission"


class NotFound(BrokerError):
    code = "not_found"


class NothingMatches(NotFound):
    code = "nothing_matches"


class NoSuchOrder(NotFound):
    code = "no_such_order"


class NoSuchAccount(NotFound):
    code = "no_such_account"


class BadRequest(BrokerError):
    code = "bad_request"


class Throttled(BrokerError):
    code = "throttled"


class BrokerFailed(BrokerError):
    code = "broker_failed"
    maybe_acted = True


class Unreachable(BrokerError):
    code = "unreachable"


class OutcomeUnknown(BrokerError):
    code = "outcome_unknown"
    maybe_acted = True
