"""Every command: its section, where it is, and its one line in ``--help``. Read without importing any."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command of the root."""

    section: str
    target: str
    """``module:attribute`` of a click command."""
    help: str


_HERE = "intelshare.cli."

COMMANDS: dict[str, Entry] = {
    "send": Entry("Analyst", _HERE + "analyst.send:send", "Send a bulletin to members."),
    "inbox": Entry("Analyst", _HERE + "analyst.read:inbox", "List what was received."),
    "read": Entry("Analyst", _HERE + "analyst.read:read", "Open a bulletin."),
    "outbox": Entry("Analyst", _HERE + "analyst.outbox:outbox", "List what was sent; release what is held."),
    "recall": Entry("Analyst", _HERE + "analyst.recall:recall", "Take a bulletin back."),
    "receipts": Entry("Analyst", _HERE + "analyst.recall:receipts", "What recipients have signed."),
    "export": Entry("Analyst", _HERE + "analyst.export:export", "Write a proof of a release, for others."),
    "stix": Entry("Analyst", _HERE + "analyst.stix:stix", "Hand bulletins to STIX tools; draft from theirs."),
    "poll": Entry("Analyst", _HERE + "analyst.poll:poll", "Draft from TAXII servers and MISP feeds."),
    "misp": Entry("Analyst", _HERE + "analyst.misp:misp", "Hand bulletins to MISP; draft from its events."),
    "cap": Entry("Analyst", _HERE + "analyst.misp:cap", "Write warnings of disasters as CAP alerts."),
    "watch": Entry("Analyst", _HERE + "analyst.watch:watch", "Show what happens, as it happens."),
    "search": Entry("Analyst", _HERE + "analyst.watch:search", "Find words in what you may see."),
    "why": Entry("Analyst", _HERE + "analyst.outbox:why", "Explain the decision for one recipient."),
    "rfi": Entry("Analyst", _HERE + "analyst.rfi:rfi", "Ask for information; answer, decline, close."),
    "obligations": Entry(
        "Analyst", _HERE + "analyst.rfi:obligations", "What received bulletins oblige you to."
    ),
    "consent": Entry("Analyst", _HERE + "analyst.consent:consent", "Ask for and give third-party consent."),
    "label": Entry("Policy author", _HERE + "policy.label:label", "Read and convert labels."),
    "treaty": Entry(
        "Policy author",
        _HERE + "treaty.treaty:treaty",
        "List, compare, draw and check treaties; act as a party.",
    ),
    "policy": Entry(
        "Policy author", _HERE + "policy.check:policy", "Check, test and explain treaties and overlays."
    ),
    "conformance": Entry(
        "Policy author", _HERE + "policy.conformance:conformance", "Check test vectors against this program."
    ),
    "init": Entry("Operator", _HERE + "operator.init:init", "Found a member and its first node."),
    "node": Entry("Operator", _HERE + "operator.node:node", "Run, watch, drain a node."),
    "user": Entry("Operator", _HERE + "operator.user:user", "Add, change, list and revoke users."),
    "member": Entry("Operator", _HERE + "operator.member:member", "Exchange trust with other members."),
    "courier": Entry(
        "Operator", _HERE + "operator.courier:courier", "Carry over an air gap what waits for a member."
    ),
    "vault": Entry("Operator", _HERE + "operator.vault:vault", "See to what guards the node's keys."),
    "pki": Entry("Operator", _HERE + "operator.pki:pki", "See to your node's certificates."),
    "trust": Entry("Operator", _HERE + "operator.trust:trust", "Succeed the root; what rests on a key."),
    "gateway": Entry("Operator", _HERE + "operator.gateway:gateway", "Hand bulletins to tools by TAXII 2.1."),
    "audit": Entry(
        "Operator", _HERE + "operator.audit:audit", "Verify the log; prove from it; report who shared what."
    ),
    "verify": Entry(
        "Everyone", _HERE + "operator.verify:verify", "Check a proof or evidence, without a node."
    ),
    "doctor": Entry("Everyone", _HERE + "operator.doctor:doctor", "Say what is wrong, and what to do next."),
    "demo": Entry("Everyone", "intelshare.demo.cli:demo", "Play a scenario with real nodes on this machine."),
    "sim": Entry("Everyone", "intelshare.sim.cli:sim", "Run nodes in simulated time, with faults."),
    "status": Entry("Everyone", _HERE + "operator.node:status", "Health, links and queues of the own node."),
    "whoami": Entry("Everyone", _HERE + "operator.about:whoami", "Who the node takes you for."),
    "enrol": Entry(
        "Everyone", _HERE + "operator.enrol:enrol", "Make your key and profile from an enrolment."
    ),
    "renew": Entry("Everyone", _HERE + "operator.enrol:renew", "Renew your certificate now."),
    "config": Entry("Everyone", _HERE + "operator.config:config", "Show the settings, and what set them."),
    "errors": Entry("Everyone", _HERE + "operator.about:errors", "Explain a code, without a node."),
    "help": Entry("Everyone", _HERE + "operator.about:help_", "Explain the exit codes, or a command."),
    "completion": Entry(
        "Everyone", _HERE + "operator.about:completion", "Print the completion script of a runtime."
    ),
    "version": Entry("Everyone", _HERE + "operator.about:version", "Print the version."),
}
