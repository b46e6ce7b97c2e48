"""Looks for passwords, keys and tokens in the files of the repository, with the detectors of detect-secrets.

`python -m tests.support.secret_scan` fails if it finds one that known_secrets.txt beside this file does not explain,
and if a line there explains nothing any more. It asks no server whether a secret works.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN = Path(__file__).with_name("known_secrets.txt")
# texts for people, digests and weights by the thousand, pictures: some 20 seconds for nothing
SKIPPED = re.compile(r"data/|trainer/verse/(golden\.json|attacks/)|.*\.(verse|po|png|svg|woff2|ipynb)$")
DETECTORS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "Base64HighEntropyString",
    "BasicAuthDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "HexHighEntropyString",
    "JwtTokenDetector",
    "KeywordDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SlackDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)
FILTERS = (
    "detect_secrets.filters.heuristic.is_indirect_reference",
    "detect_secrets.filters.heuristic.is_likely_id_string",
    "detect_secrets.filters.heuristic.is_not_alphanumeric_string",
    "detect_secrets.filters.heuristic.is_potential_uuid",
    "detect_secrets.filters.heuristic.is_sequential_string",
    "detect_secrets.filters.heuristic.is_templated_secret",
)


def list_files() -> list[str]:
    """The files that are, or would be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and not SKIPPED.match(name) and (ROOT / name).is_file()]


def scan(names: Iterable[str], root: Path = ROOT) -> dict[str, PotentialSecret]:
    """What looks like a secret, by its file, kind and digest as known_secrets.txt has them."""
    found = {}
    with transient_settings(
        {"plugins_used": [{"name": name} for name in DETECTORS], "filters_used": [{"path": path} for path in FILTERS]}
    ):
        for name in names:
            for secret in scan_file(str(root / name)):
                found[f"{name} | {secret.type} | {secret.secret_hash[:16]}"] = secret
    return found


def read_known() -> set[str]:
    """What was looked at, and is none."""
    lines = KNOWN.read_text("utf-8").splitlines()
    return {line.rpartition(" | ")[0] for line in lines if line and not line.startswith("#")}


def main() -> None:
    found, known = scan(list_files()), read_known()
    for line in sorted(found.keys() - known):
        path, kind, _ = line.split(" | ")
        print(f"{path}:{found[line].line_number}: {kind}: remove it, and replace what it opens; if it is no secret, "
              f"add to {KNOWN.relative_to(ROOT)}:\n{line} | WHY IT IS NONE")  # fmt: skip
    for line in sorted(known - found.keys()):
        print(f"{KNOWN.relative_to(ROOT)} explains what is not there: {line}")
    if found.keys() ^ known:
        sys.exit(1)


if __name__ == "__main__":
    main()
