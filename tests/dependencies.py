"""Ask for known vulnerabilities of everything that is pinned: `python -m tests.dependencies`.

Ends with 1 where one is known. Where the service is out of reach, or does not know a package, it says loudly what was
not looked at and ends with 0: a change must not wait for somebody else's server, and silence must not pass for safety.
"""

import json
import subprocess
import sys
from typing import Any

PINNED = "tests/requirements.txt"
RULE = "!" * 78


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", PINNED, "--disable-pip", "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["pip-audit said nothing"]
        print(shout(f"DEPENDENCIES WERE NOT AUDITED: {lines[-1][:300]}"), file=sys.stderr)
        return 0
    text, status = verdict(found)
    print(text, file=sys.stderr)
    return status


def verdict(found: list[dict[str, Any]]) -> tuple[str, int]:
    """Return what to say of what pip-audit found, and how to end."""
    known = [f"{each['name']} {each['version']}: {vuln['id']}" for each in found for vuln in each.get("vulns", ())]
    left_out = [each["name"] for each in found if "skip_reason" in each]
    audited = f"{len(found) - len(left_out)} of {len(found)} pinned packages were audited"
    if known:
        return "\n".join([f"KNOWN VULNERABILITIES ({audited}):", *known]), 1
    if left_out or not found:
        names = ", ".join(left_out[:10]) + (", …" if len(left_out) > 10 else "")
        return shout(f"DEPENDENCIES WERE NOT ALL AUDITED: {audited}. The service does not know: {names}"), 0
    return f"{audited}, and no vulnerability is known", 0


def shout(words: str) -> str:
    return f"{RULE}\n{words}\n{RULE}"


if __name__ == "__main__":
    sys.exit(main())
