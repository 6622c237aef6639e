"""Follow what happens, and go on where the last run was: nothing is missed, nothing is told twice.

python follow.py PROFILE CURSOR-FILE [once]
"""

import asyncio
import sys
from pathlib import Path

from intelshare.api import Client


async def main(profile: str, place: Path, *, once: bool) -> None:
    cursor = place.read_text() if place.exists() else ""
    async with Client.from_profile(profile) as client:
        async for event in client.watch(cursor, once=once):
            print(f"{event.at:%H:%M:%S} {event.what} {event.id[:8]} {event.member} {event.title}")
            place.write_text(event.cursor)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), once="once" in sys.argv))
