"""What a kill needs to know: where the broker is, and how long things may take. All that break-glass reads."""

from . import env, redaction

redaction.watch_uncaught()
# Read here so that a missing one stops the start; the broker room reads the same names itself, without Django.
env.header("CLEAR_STREET_API_KEY", env.needed_secret("CLEAR_STREET_API_KEY"))
CLEAR_STREET_BASE_URL = env.url("CLEAR_STREET_BASE_URL", ("https", "http"), "https://api.clearstreet.com")
# Said on every page and of every kill: a simulator cannot be told from a tunnel to the broker by its address.
BROKER_IS_SIMULATOR = env.boolean("BROKER_IS_SIMULATOR")
CLEAR_STREET_TIMEOUT_SECONDS = env.number("CLEAR_STREET_TIMEOUT_SECONDS", 5.0, least=0.1, most=60)

# How long a sweep goes on without any progress before it gives up, and how long it goes on at all (orders may keep
# arriving), in seconds.
KILL_PATIENCE_SECONDS = env.number("KILL_PATIENCE_SECONDS", 30.0, least=1, most=3600)
KILL_LIMIT_SECONDS = env.number("KILL_LIMIT_SECONDS", 300.0, least=1, most=86400)
# An order whose cancel the broker accepted and has not carried out is called stuck after so many seconds.
KILL_STUCK_SECONDS = env.number("KILL_STUCK_SECONDS", 30.0, least=0.1, most=3600)
# Between two lists of a latched account while orders arrive, in seconds; up to five times that when it is quiet.
KILL_LATCH_SECONDS = env.number("KILL_LATCH_SECONDS", 1.0, least=0.05, most=60)
# Connections to the broker that each worker and watchdog keeps open, so that the first kill of the day opens none.
KILL_WARM_CONNECTIONS = int(env.number("KILL_WARM_CONNECTIONS", 20, least=0, most=1000))
# Repeats per second that one process may send to the broker at most; first attempts are never counted.
KILL_REPEATS_PER_SECOND = env.number("KILL_REPEATS_PER_SECOND", 200.0, least=2, most=10_000)
