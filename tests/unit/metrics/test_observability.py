"""Alert rules, dashboard, runbook: what they name exists, and every alert leads to a part of the runbook."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from e2e.written import commands
from intelshare.cli.app import root as program
from intelshare.metrics import HEALTH, Metric
from intelshare.node.events import LOST, Event
from intelshare.node.refusal import STATUS

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "observability"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((EXAMPLES / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((EXAMPLES / "dashboard.json").read_text("utf-8"))
SITUATIONS = (
    "full-disk", "dead-disk", "rotten-record", "wrong-clock", "expired-certificate", "lost-passphrase",
    "restored-backup", "cloned-folder", "member-gone-bad", "queue-growing", "link-down",
    "evidence-against-a-member", "law-that-does-not-load", "key-that-ends",
)  # fmt: skip
"""From which an operator brings a node back with the runbook alone."""
ROWS = {metric.value.name: metric.value for metric in Metric}


def anchors(text: str) -> set[str]:
    """Of the headings, as both forges make them."""
    return {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }


def expressions() -> Iterator[tuple[str, str]]:
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_label_and_word_that_is_asked_for_exists(where: str, expression: str) -> None:
    named = re.findall(r"\b((?:intelshare|process)_\w+)\s*(\{[^}]*\})?", expression)
    assert named or expression.startswith("up{"), where
    for name, matchers in named:
        labels = dict(re.findall(r'(\w+)[=!]~?"([^"]*)"', matchers))
        assert set(labels) - {"job", "instance"} <= set(ROWS[name].labels), (where, name)
        words = {word for label in ("event", "code") for word in labels.get(label, "").split("|") if word}
        assert words <= {*HEALTH, *Event, LOST, *STATUS}, where
    for grouped in re.findall(r"\bon \(([^)]*)\)", expression):
        every = {label for name, _ in named for label in ROWS[name].labels}
        assert {word.strip() for word in grouped.split(",")} <= {*every, "instance"}, where


def test_legends_name_labels_that_exist() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            (name, *_) = re.findall(r"(?:intelshare|process)_\w+", target["expr"])
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert shown <= {*ROWS[name].labels, "instance"}, target


@pytest.mark.parametrize("name", ["intelshare_leads", "intelshare_peer_unseen_seconds"])
def test_what_one_replica_does_for_all_is_asked_of_each_node_by_itself(name: str) -> None:
    """One Prometheus may watch several members, and a replica without links is no fault."""
    (expression,) = [rule["expr"] for rule in ALERTS if name in rule["expr"]]
    assert re.match(r"(max|min) by \(node\b", expression)
    assert expression.count("on (instance) group_left (node) intelshare_build_info") == 1


def test_panels_do_not_overlap_and_have_their_own_numbers() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in BOARD["panels"]})


def test_every_alert_has_a_part_of_the_runbook_and_every_code_of_health_an_alert() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert anchor in anchors(RUNBOOK), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"\d+[mh]", rule["for"])
    every = " ".join(rule["expr"] for rule in ALERTS)
    for code in HEALTH:
        assert code in every or code == "DATA_LOCKED", code


def test_a_certificate_is_told_by_what_is_left_of_its_own_life() -> None:
    """Of one that is issued for a day, as many authorities do, less than a day is always left."""
    (expression,) = [rule["expr"] for rule in ALERTS if "certificate_remaining" in rule["expr"]]
    assert expression == "intelshare_certificate_remaining_seconds < intelshare_certificate_life_seconds / 4"


def test_links_inside_the_runbook_lead_somewhere() -> None:
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= anchors(RUNBOOK)
    assert set(SITUATIONS) <= anchors(RUNBOOK)


@pytest.mark.parametrize("line", sorted(commands(RUNBOOK)))
def test_a_command_of_the_runbook_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = program
    context = click.Context(program, info_name="intelshare")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    assert not isinstance(command, click.Group) or command.invoke_without_command, line
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options, line


def test_every_code_of_the_runbook_is_in_the_catalogue() -> None:
    codes = (ROOT / "src" / "intelshare" / "cli" / "shared" / "codes.toml").read_text("utf-8")
    named = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", RUNBOOK))
    assert {code for code in named if f"[{code}]" not in codes} == set()


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: expressions were read by this test alone")
    subprocess.run([promtool, "check", "rules", str(EXAMPLES / "alerts.yml")], check=True, timeout=60)
