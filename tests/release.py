"""``make release``: the files of a release in ``dist/``, made from what is committed and from nothing else.

    dist/intelshare-VERSION-py3-none-any.whl    the package
    dist/intelshare-VERSION.tar.gz              its source
    dist/intelshare-VERSION.cdx.json            what is installed with it: docs/sbom.cdx.json
    dist/intelshare-VERSION.intoto.json         how they were built: in-toto statement, SLSA provenance
    dist/SHA256SUMS                             the hashes of all of them: the one file that a person signs

Who runs it on the same commit gets the same bytes: docs/releasing.md. Ends with 1 and a sentence where
the tree has changes, or where a tag on the commit or the changelog is of another version.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import intelshare
import supply

DIST = supply.REPOSITORY / "dist"


class NotReady(Exception):
    """What stands against a release, as a sentence."""


def run(command: Sequence[str | Path], cwd: Path, **settings: str) -> str:
    """What a command prints. Raises NotReady where it fails."""
    env = os.environ | settings
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReady(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def git(*words: str) -> str:
    """What git says of this repository. Raises NotReady where it fails."""
    return run(["git", *words], supply.REPOSITORY)


def obstacles(version: str, *, status: str, tags: list[str], changelog: str) -> list[str]:
    """What stands against a release of ``version``, a sentence each; none: nothing does."""
    found = []
    if status:
        found.append("The tree has changes that are not committed: commit or remove them.")
    if others := [tag for tag in tags if re.match(r"v\d", tag) and tag != f"v{version}"]:
        found.append(f"The commit is tagged {others[0]}, but the package says version {version}.")
    if not re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no section for {version}.")
    return found


def built(commit: str, seconds: str, out: Path) -> list[Path]:
    """The wheel and the source archive of a commit, by hatchling, with the time of the commit."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        archive = tree / "tree.tar"
        git("archive", "--format=tar", "--output", str(archive), commit)
        with tarfile.open(archive) as files:
            files.extractall(tree, filter="data")
        archive.unlink()
        for target in ("wheel", "sdist"):
            command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out]
            run(command, cwd=tree, SOURCE_DATE_EPOCH=seconds)
    return sorted(out.glob("intelshare-*.*"))


def provenance(files: list[Path], commit: str, seconds: str) -> str:
    """How the files were built: in-toto statement version 1 with SLSA provenance version 1, as JSON."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": digest(file)}} for file in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:intelshare:make-release:1",
                "externalParameters": {"commit": commit, "SOURCE_DATE_EPOCH": seconds},
                "resolvedDependencies": [
                    {"uri": "git:HEAD", "digest": {"gitCommit": commit}},
                    {"uri": "requirements.lock", "digest": {"sha256": digest(supply.LOCK)}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:intelshare:make-release"}},
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True) + "\n"


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def release(out: Path) -> list[Path]:
    """Write all files of a release into ``out``, which is made anew. Raises NotReady."""
    version = intelshare.__version__
    changelog = (supply.REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    found = obstacles(
        version,
        status=git("status", "--porcelain"),
        tags=git("tag", "--points-at", "HEAD").split(),
        changelog=changelog,
    )
    if found:
        raise NotReady("\n".join(found))
    commit, seconds = git("rev-parse", "HEAD"), git("log", "-1", "--format=%ct")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = built(commit, seconds, out)
    stem = out / f"intelshare-{version}"
    bill, how = stem.with_name(stem.name + ".cdx.json"), stem.with_name(stem.name + ".intoto.json")
    shutil.copyfile(supply.SBOM, bill)
    how.write_text(provenance(files, commit, seconds), "utf-8")
    files = sorted([*files, bill, how])
    (out / "SHA256SUMS").write_text("".join(f"{digest(file)}  {file.name}\n" for file in files), "utf-8")
    return [*files, out / "SHA256SUMS"]


if __name__ == "__main__":
    try:
        for made in release(DIST):
            print(made.relative_to(supply.REPOSITORY))
    except NotReady as error:
        sys.exit(str(error))
