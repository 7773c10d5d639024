"""Free space where the database, journals and logs lie."""

import shutil
import tempfile
from pathlib import Path

from django.conf import settings

from .found import Found
from .verdict import Fault, Part

MB = 1_000_000


def folders() -> list[Path]:
    """Return the folders that are looked at: those of the settings, of an SQLite database, and where a journal goes."""
    found = [Path(folder) for folder in settings.LIGHT_DISK_FOLDERS]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        found.append(Path(database["NAME"]).parent)
    return [*found, Path.cwd(), Path(tempfile.gettempdir())]


def check() -> list[Found]:
    """Return how the fullest of the disks stands."""
    by_disk = {folder.stat().st_dev: folder for folder in reversed(folders())}
    free = sorted((shutil.disk_usage(folder).free // MB, str(folder)) for folder in by_disk.values())
    says = ", ".join(f"{size:,} MB free at {folder}" for size, folder in free)
    least = free[0][0]
    if least < settings.LIGHT_DISK_LOW_MB / 10:
        return [Found(Part.DISK, Fault.DISK_FULL, says)]
    return [Found(Part.DISK, Fault.DISK_LOW if least < settings.LIGHT_DISK_LOW_MB else None, says)]
