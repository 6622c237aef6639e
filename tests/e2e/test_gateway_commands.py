"""docs/gateways.md does what it says, by the real command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from gateway_world import Gateway
from interop_world import RESTRICTED, SECRET, complaints
from processes import Ended, clean_environment, finished, process

PAGE = (Path(__file__).parents[2] / "docs" / "gateways.md").read_text("utf-8")


def section(title: str) -> str:
    """The shell code below a heading of the page."""
    (text,) = re.findall(rf"\n## {re.escape(title)}\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)
    return "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))


@dataclass(frozen=True)
class Site:
    """FRA and USA, who know each other."""

    home: Path

    def sh(self, script: str, **environment: str) -> Ended:
        """Run shell code of the page where the nodes are."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = clean_environment(PATH=path, **environment)
        return finished(["bash", "-eu", "-o", "pipefail", "-c", script], cwd=self.home, env=env, seconds=100)

    def send(
        self, *words: str, text: str = "The dam at Lokoja", label: str = SECRET, who: str = "fra"
    ) -> str:
        """Send a text to the other; the id."""
        to = "USA" if who == "fra" else "FRA"
        given = ("--to", to, "--category", "cyber", "--label", label, "--wait", "accepted", "--json")
        done = intelshare("send", "-", *given, *words, "--as", self.home / who / "users" / "ana", stdin=text)
        assert done.code == 0, done
        return str(done.json["bulletin"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("gateways")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        yield Site(home)


def test_a_bulletin_becomes_stix_and_stix_becomes_a_bulletin_as_the_page_says(site: Site) -> None:
    bulletin = site.send("--title", "Flood", "--title-label", RESTRICTED, "--grade", "B2")
    done = site.sh(section("A bulletin as STIX 2.1"), BULLETIN=bulletin[:8])
    assert done.code == 0, done
    one, two = (json.loads((site.home / f"{name}.stix.json").read_text()) for name in ("bulletin", "same"))
    assert one == two
    assert complaints(one["objects"]) == []
    assert (one["objects"][-1]["name"], one["objects"][-1]["description"]) == ("Flood", "The dam at Lokoja")
    done = site.sh(section("STIX from others as a draft"))
    assert done.code == 0, done
    inbox = ok("inbox", "--as", site.home / "usa" / "users" / "ana", "--json").json["entries"]
    assert [entry["title"] for entry in inbox] == ["Flood", "Flood"]
    again = intelshare(
        "read", inbox[0]["bulletin"], "--as", site.home / "usa" / "users" / "ana", "--json"
    ).json
    assert {one["label"] for one in again["portions"]} >= {SECRET, RESTRICTED}


def test_a_bulletin_becomes_an_event_and_a_warning_an_alert_as_the_page_says(site: Site) -> None:
    bulletin = site.send(text="phishing kit")
    warning = site.send("--category", "climate-disaster", text="flood", label="//FRA NP//REL TO FRA, USA")
    (site.home / "markings.toml").write_text('[[marking]]\ndistribution = "0"\nlabel = "TLP:CLEAR"\n')
    done = site.sh(section("MISP") + section("CAP"), BULLETIN=bulletin[:8], WARNING=warning[:8])
    assert done.code == 0, done
    assert (
        json.loads((site.home / "event-draft" / "draft.ndjson").read_text())["label"]
        == SECRET + "//TLP:CLEAR"
    )
    assert "<restriction>//FRA NON PROTEGE//REL TO FRA, USA" in (site.home / "alert.xml").read_text()


def test_a_gateway_is_set_up_as_the_page_says(site: Site) -> None:
    (settings,) = re.findall(r"```toml\n(port = .*?)```", PAGE, re.DOTALL)
    first, second = re.findall(r"```sh\n(intelshare (?:user add gate|gateway run).*?)```", PAGE, re.DOTALL)
    assert site.sh(first).code == 0
    token, digest = (line.split()[-1] for line in (site.home / "opencti.token").read_text().splitlines())
    text = settings.replace("TOKEN_SHA256", digest).replace("port = 6380", "port = 0")
    (site.home / "gateway.toml").write_text(text)
    site.send(text="for the tool", label="//FRA DIFFUSION RESTREINTE//REL TO FRA, USA")
    words = second.split()[1:]
    with process([*PROGRAM, *words, "--json"], cwd=site.home, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        one = Gateway(json.loads(started.stdout.readline())["url"], site.home / "none", started)
        wait_until(lambda: one.ask("/intelshare/", token).status == 200, "the gateway")
        path = one.ask("/intelshare/collections/", token).json["collections"][0]["id"]
        said = one.ask(f"/intelshare/collections/{path}/objects/?match[type]=report", token)
        assert "for the tool" in said.data.decode()
        started.terminate()
        assert started.wait(20) == 0


def test_what_may_only_be_shown_is_not_written(site: Site, tmp_path: Path) -> None:
    shown_only = "SECRET//DISPLAY ONLY FRA"
    bulletin = site.send(who="usa", label=shown_only)
    reader = site.home / "fra" / "users" / "ana"
    target = tmp_path / "out.stix.json"
    done = intelshare("stix", "export", bulletin, "--from", "USA", "--as", reader, "--out", target)
    assert (done.code, target.exists()) == (3, False), done
    assert "POLICY_DENIED" in done.err
