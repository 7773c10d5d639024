"""The armed light: how often is looked, what counts as too little disk; and who may read the figures."""

from . import env

# Between two looks, in seconds. Each of them asks the broker twice, and sends one task through the queue.
LIGHT_EVERY_SECONDS = env.number("LIGHT_EVERY_SECONDS", 3.0, least=0.2, most=60)
# Less than this is said, in megabytes; with a tenth of it a disk counts as full.
LIGHT_DISK_LOW_MB = env.number("LIGHT_DISK_LOW_MB", 1000.0, least=10, most=10_000_000)
# Folders that are looked at beside those that the product knows by itself: where the database or the logs lie.
LIGHT_DISK_FOLDERS = env.folders("LIGHT_DISK_FOLDERS")
# What asks for /metrics has to know it; without one there is no such page.
METRICS_TOKEN = env.secret("METRICS_TOKEN")
if METRICS_TOKEN:
    env.header("METRICS_TOKEN", METRICS_TOKEN)
    if len(METRICS_TOKEN) < 16:
        env.stop("METRICS_TOKEN", "must be at least 16 characters: whoever guesses it reads the figures")
