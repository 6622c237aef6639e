"""``doctor``: checks the profile of a user: the certificate, its key, and what was sent without an answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from intelshare.cli.shared.findings import OK, WARNING, WRONG, Finding
from intelshare.errors import IntelshareError
from intelshare.instant import DAY, SECOND, Instant

if TYPE_CHECKING:
    from intelshare.client import Profile


def profile(named: str | None, folder: Path | None, now: Instant) -> Iterator[Finding]:
    """Check the profile in effect: its certificate, its key, and what it has sent."""
    from intelshare.client import passed_over

    found = found_profile(named, folder)
    planted = None if named else passed_over(os.environ, Path.cwd())
    if planted is not None:
        remedy = f"if it belongs to you: chmod go-w {planted.parent}"
        yield Finding(WARNING, "profile", f"{planted} is ignored: others can write to its folder", remedy)
    if found is None and folder is not None:
        yield Finding(OK, "profile", "none holds here")
        return
    if found is None:
        remedy = "give --as FOLDER or set INTELSHARE_PROFILE; `intelshare user add` makes a profile"
        yield Finding(WARNING, "profile", "none holds here", remedy)
        return
    yield Finding(OK, "profile", f"{found.user} of {found.member}, {found.folder}")
    yield _certificate(found, now)
    yield from _key(found)
    yield from _spool(found, now)


def found_profile(named: str | None, folder: Path | None) -> Profile | None:
    """Return the profile in effect, or the one that is named, or else the operator's in the data folder.

    Raises what ``find_profile`` raises.
    """
    from intelshare.client import find_profile, read_profile

    try:
        return find_profile(named, os.environ, Path.cwd())
    except IntelshareError as error:
        if error.code != "NOT_FOUND" or named or error.place is not None:
            raise
    operator = folder / "users" / "operator" if folder is not None else None
    return read_profile(operator) if operator is not None and operator.exists() else None


def others(named: str | None, folder: Path, now: Instant) -> Iterator[Finding]:
    """Check the certificates of the data folder's other profiles."""
    from intelshare.client import read_profile

    examined = found_profile(named, folder)
    for path in sorted((folder / "users").glob("*/profile.toml")):
        if examined is not None and path.parent.resolve() == examined.folder.resolve():
            continue
        check = f"certificate {path.parent.name}"
        try:
            yield _certificate(read_profile(path.parent), now, check)
        except IntelshareError as error:
            yield Finding(WRONG, check, error.message, error.hint or "", error.code)


def _certificate(profile: Profile, now: Instant, check: str = "certificate") -> Finding:
    from intelshare.client.renewal import validity_of
    from intelshare.instant import show

    valid = validity_of(profile)
    until = show(Instant(valid.end - valid.end % SECOND))
    if now >= valid.end:
        return Finding(WRONG, check, f"expired at {until}", another(profile), "TLS_REFUSED")
    if now < valid.start:
        remedy = f"set the clock of this machine; if it is right, another was wrong: {another(profile)}"
        return Finding(WRONG, check, "is not yet valid", remedy, "CLOCK")
    left = f"valid until {until} ({(valid.end - now) / DAY:.1f} days)"
    if valid.is_due(now):
        return Finding(WARNING, check, left, f"intelshare renew --as {profile.folder}")
    return Finding(OK, check, left)


def another(profile: Profile, *, revoked: bool | None = False) -> str:
    """Return the command that gives a profile's user a certificate, whatever happened to the previous one.

    ``revoked``: the user was; None: that is not known.
    """
    if revoked is None:
        back = another(profile, revoked=True)
        return f"{another(profile)}; if {profile.user} was revoked: {back}"
    command = "intelshare user restore" if revoked else "intelshare user renew"
    folder = (profile.folder / profile.node_folder).resolve() if profile.node_folder else None
    if folder is None or not os.access(folder / "node.toml", os.R_OK):
        enrolment = f"`{command} {profile.user} --folder FOLDER`"
        given = f"an operator gives you an enrolment file ({enrolment})"
        return f"{given}; then run: intelshare enrol FILE --out {quote(str(profile.folder))}"
    from intelshare.node.settings_file import read_settings

    if read_settings(folder / "node.toml").user_authority and not revoked:
        return "renew it at the authority that issued it: the node accepts it on first use"
    usual = profile.folder.resolve() == folder / "users" / profile.user
    elsewhere = "" if usual else f" --here --out {quote(str(profile.folder))}"
    return f"{command} {profile.user} --folder {quote(str(folder))}{elsewhere}"


def _key(profile: Profile) -> Iterator[Finding]:
    from intelshare.client import read_credentials
    from intelshare.crypto.x509 import all_from_pem, fits, from_pem, is_authority

    credentials = read_credentials(profile)
    if not all(map(is_authority, all_from_pem(credentials.authority))):
        what = f"{profile.authority} is damaged: it does not hold the certificate of an authority"
        yield Finding(WRONG, "key", what, another(profile), "TLS_REFUSED")
    if not fits(from_pem(credentials.certificate), credentials.key):
        what = f"{profile.key} is not the key of the certificate"
        yield Finding(WRONG, "key", what, another(profile), "TLS_REFUSED")


def _spool(profile: Profile, now: Instant) -> Iterator[Finding]:
    from intelshare.cli.shared.unanswered import unanswered_words
    from intelshare.client.spool import spooled

    words = unanswered_words(list(spooled(profile.spool, now)))
    if words is None:
        yield Finding(OK, "spool", "every send was answered")
    else:
        yield Finding(WARNING, "spool", *words, "OUTCOME_UNKNOWN")
