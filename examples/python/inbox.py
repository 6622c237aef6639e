"""Print what is unread, without an event loop.

python inbox.py PROFILE
"""

import sys

from intelshare.api import IntelshareError, SyncClient


def main(profile: str) -> int:
    try:
        with SyncClient.from_profile(profile) as client:
            for entry in client.inbox(unread=True):
                bulletin = client.read(entry.id, originator=entry.originator)
                print(f"{entry.received_at:%H:%M} {entry.originator} {entry.precedence} {bulletin.banner}")
                print(f"  {entry.title}: {bulletin.text}")
    except IntelshareError as error:
        print(f"{error.code}: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
