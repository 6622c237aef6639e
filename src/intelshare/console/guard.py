"""Access to the console: only for a browser on this machine that has opened a one-time address.

The address in the terminal contains a token that opens the console once, within ten minutes. The browser then
keeps a cookie that no script can read and that requests of other sites do not carry. The Host of each request
is compared, because another site can let its name point to loopback (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

from intelshare.errors import ConfigError, DeliveryError, Place
from intelshare.text import bracketed

TOKEN_LIFE: Final = 600.0
"""Seconds in which an address opens the console."""
SESSION_LIFE: Final = 12 * 3600.0
"""Seconds after which a browser needs a new address."""
MAX_TOKENS: Final = 16
"""Addresses that are open at once; a further one ends the oldest."""
MAX_SESSIONS: Final = 16
MAX_QUERY: Final = 1024
"""Characters of the query of a request."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The content security policy: a page loads only files of this console, and makes no HTML from text."""

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of every answer."""


def loopback(host: str) -> str:
    """Return the address. Raises ConfigError ADDRESS_FORBIDDEN unless it is a loopback address."""
    try:
        found = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        found = None
    if found is None or not found.is_loopback:
        raise ConfigError(
            "ADDRESS_FORBIDDEN",
            f"{host[:80]!r} is not a loopback address: the console serves browsers on this machine only",
            place=Place("--host"),
            hint="leave out --host; from another machine, forward the port with ssh -L",
        )
    return str(found)


@dataclass(slots=True)
class _Until:
    digest: bytes
    end: float


class Guard:
    """The tokens and sessions of one console, kept in memory, as digests."""

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        shown = bracketed(host)
        self.url = f"http://{shown}:{port}"
        self.cookie = f"intelshare-console-{port}"
        """Cookies of all ports of a machine come together."""
        self._hosts = {f"{shown}:{port}", f"localhost:{port}"}
        self._clock = clock
        self._tokens: list[_Until] = []
        self._sessions: list[_Until] = []

    def address(self) -> str:
        """Return a new address, which opens the console once."""
        token = secrets.token_urlsafe(32)
        self._tokens = [*self._tokens[1 - MAX_TOKENS :], _Until(_digest(token), self._clock() + TOKEN_LIFE)]
        return f"{self.url}/?token={token}"

    def enter(self, token: str) -> str:
        """Exchange a token for a cookie; the token is then used up. Raises DeliveryError CONSOLE_TOKEN."""
        given, now = _digest(token), self._clock()
        fitting = [one for one in self._tokens if hmac.compare_digest(one.digest, given) and now < one.end]
        if not fitting:
            raise _no_entry("this address was used already, or is too old")
        self._tokens = [one for one in self._tokens if one not in fitting]
        session = secrets.token_urlsafe(32)
        self._sessions = [*self._sessions[1 - MAX_SESSIONS :], _Until(_digest(session), now + SESSION_LIFE)]
        return f"{self.cookie}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={int(SESSION_LIFE)}"

    def check_place(self, headers: Mapping[str, str]) -> None:
        """Check that the request is for this address, and comes from its pages or from the address bar.

        Raises DeliveryError CONSOLE_HOST, CONSOLE_ORIGIN.
        """
        host = headers.get("host", "")
        if host not in self._hosts:
            raise DeliveryError("CONSOLE_HOST", f"the request is for another host: {host[:80]!r}")
        origin = headers.get("origin", "")
        elsewhere = origin not in ("", *(f"http://{name}" for name in self._hosts if name == host))
        if elsewhere or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise DeliveryError("CONSOLE_ORIGIN", "another site's page has made the request")

    def check_session(self, cookies: Mapping[str, str]) -> None:
        """Check the cookie. Raises DeliveryError CONSOLE_TOKEN."""
        given, now = _digest(cookies.get(self.cookie, "")), self._clock()
        if not any(hmac.compare_digest(one.digest, given) and now < one.end for one in self._sessions):
            raise _no_entry("this browser has not been let in, or too long ago")


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _no_entry(message: str) -> DeliveryError:
    return DeliveryError("CONSOLE_TOKEN", message)
