"""A member shows two peers two directories of one version: both find out, keep it, and prove it to others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from test_aged_certificates import command

from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyUse, Trust
from intelshare.crypto.suites import SUITES, load_signer
from intelshare.ids import MemberCode
from intelshare.trust import TrustView, renew_directory, sign_directory, write_member_file
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, make_site, now, until

KEN = MemberCode("KEN")


def two_faces(ken: Site) -> tuple[str, list[str]]:
    """The fingerprint, and two member files that differ in what one directory says."""
    founded = ken.founded
    view = TrustView.load(KEN, [encode(Trust, founded.root), encode(Trust, founded.directory)], SUITES)
    (key,) = [one for one in founded.keys if one.record.use is KeyUse.DIRECTORY]
    signer = load_signer(SUITES[key.record.suite], key.record, key.key_id, key.secret)
    first = view.members[KEN].directory
    assert first is not None
    honest = view.with_document(renew_directory(first, signer, now()), now()).view.members[KEN]
    assert honest.directory is not None
    other = replace(honest.directory, expires=honest.directory.expires - 1)
    forged = replace(honest, directory=other, directory_signed=sign_directory(other, signer))
    return honest.fingerprint, [write_member_file(one) for one in (honest, forged)]


async def admit(site: Site, text: str, fingerprint: str) -> None:
    async with site.client("o") as client:
        await client.operations.ImportMember(pb.ImportMemberRequest(text=text, fingerprint=fingerprint))


async def forks(site: Site) -> list[str]:
    async with site.client("o") as client:
        found = await client.audit.ListEvidence(pb.ListEvidenceRequest())
    return [one.member for one in found.alarms if one.code == "TRUST_FORK"]


async def test_both_peers_find_it_and_the_command_line_shows_exports_and_checks_it(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    ken = await asyncio.to_thread(make_site, "KEN", tmp_path / "KEN", dial=False)
    fingerprint, files = two_faces(ken)
    for site, text in zip(pair, files, strict=True):
        await admit(site, text, fingerprint)

    async def found() -> bool:
        return [await forks(site) for site in pair] == [["KEN"], ["KEN"]]

    await until(found, "both to have found it")
    async with usa.client("o") as client:
        status = await client.operations.Status(pb.StatusRequest())
    assert [(one.member, one.code) for one in status.alarms] == [("KEN", "TRUST_FORK")]
    held = [site.running.runtime.node.trust.members[KEN].directory for site in pair]
    assert held[0] != held[1], "the first that came stays in force at each"
    await fra.stop()
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE + b"\n")
    secret.chmod(0o600)
    here = ("--folder", fra.root, "--passphrase-file", secret)
    listed = await command("audit", "evidence", *here, "--json")
    (alarm,) = json.loads(listed.out)["alarms"]
    assert (alarm["member"], alarm["code"]) == ("KEN", "TRUST_FORK")
    assert alarm["what"].startswith("two directories ")
    proof = tmp_path / "evidence.json"
    assert (await command("audit", "export", alarm["evidence"][:8], *here, "--out", proof)).code == 0
    (tmp_path / "ken.member").write_text(files[0])
    words = ("audit", "check-evidence", proof, "--member", tmp_path / "ken.member")
    checked = await command(*words)
    assert checked.code in (0, 5), checked
    assert "KEN" in checked.out
