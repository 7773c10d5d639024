"""Run a command nearly as a container does: a read-only tree of its own, as nobody in particular, with no rights.

No engine is needed, but Linux and root. What is left out of a container: limits of memory, the profile of system calls,
a list of processes of its own; the tree is this machine's /usr and a copy of its /etc instead of the image's.
"""

import itertools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

USER = 10001
COUNTER = itertools.count()
# $1: an empty folder, $2: as whom, $3: a file with lines of SOURCE TARGET ro|rw; then the command.
ENTER = r"""
set -eu
root=$1; user=$2; binds=$3; shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"
mkdir -p "$root/tmp" "$root/proc" "$root/dev"
ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root/"
while read -r source target how; do
  if [ ! -e "$root$target" ]; then
    mkdir -p "$(dirname "$root$target")"
    if [ -d "$source" ]; then mkdir "$root$target"; else touch "$root$target"; fi
  fi
  mount --bind "$source" "$root$target"
  [ "$how" = rw ] || mount -o remount,bind,ro "$root$target"
done <"$binds"
mount --rbind /dev "$root/dev"
mount -t proc none "$root/proc"
mount -t tmpfs -o mode=1777,noexec,nosuid,nodev,size=512m none "$root/tmp"
mount -o remount,ro "$root"
cd "$root"
[ "$user" = root ] && exec chroot "$root" "$@"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups \
  --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


@dataclass(frozen=True)
class Box:
    """What every command of one deployment finds around it. `host` begins each command: where it runs."""

    folder: Path
    host: Sequence[str]
    binds: Mapping[str, Path] = field(default_factory=dict)  # where it is seen, and what it is; read-only
    writable: Mapping[str, Path] = field(default_factory=dict)
    user: str = str(USER)

    def command(self, words: Sequence[str], environment: Mapping[str, str], directory: str = "/") -> list[str]:
        machine = {"/usr": Path("/usr"), sys.base_prefix: Path(sys.base_prefix)}
        if Path("/opt").exists():
            machine["/opt"] = Path("/opt")
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        binds = self.folder / f"binds-{next(COUNTER)}"
        lines = [f"{source} {target} ro" for target, source in {**machine, **self.binds}.items()]
        binds.write_text("".join(f"{line}\n" for line in [*lines, *(f"{s} {t} rw" for t, s in self.writable.items())]))
        variables = [f"{name}={value}" for name, value in environment.items()]
        inside = ["env", "-i", f"--chdir={directory}", *variables, *words]
        enter = ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(root), self.user, str(binds)]
        return [*self.host, *enter, *inside]

    def run(self, words: Sequence[str], environment: Mapping[str, str], directory: str = "/") -> str:
        """Run a command to its end. Raises AssertionError with what it said where it failed."""
        command = self.command(words, environment, directory)
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout
