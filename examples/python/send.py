"""Send a bulletin, and wait until its recipient has it.

python send.py PROFILE RECIPIENT
"""

import asyncio
import sys

from intelshare.api import Client, PairStatus


async def main(profile: str, recipient: str) -> None:
    async with Client.from_profile(profile) as client:
        me = await client.whoami()
        cursor = [event.cursor async for event in client.watch(once=True)]
        sent = await client.send(
            "A kit against grid operators is sold since May.",
            to=[recipient],
            label=f"//{me.member} SECRET//REL TO {me.member}, {recipient}",
            category="cyber",
            title="Phishing kit",
        )
        decided = sent.to(recipient)
        print(f"{sent.id} {sent.banner}")
        print(f"{recipient} {decided.status}, {decided.portions[0].basis} {decided.portions[0].articles[0]}")
        while (await client.sent(sent.id)).pairs[0].status not in (PairStatus.ACCEPTED, PairStatus.READ):
            await asyncio.sleep(0.1)
        print(f"{recipient} has it; {len(cursor)} events before")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
