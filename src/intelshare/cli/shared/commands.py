"""The table of commands: section, module and one line of help. It is read without importing any command."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command of the root group."""

    section: str
    target: str
    """The click command, as ``module:attribute``."""
    help: str


_HERE = "intelshare.cli."

COMMANDS: dict[str, Entry] = {
    "send": Entry("Analyst", _HERE + "analyst.send:send", "Send a bulletin to members."),
    "inbox": Entry("Analyst", _HERE + "analyst.read:inbox", "List received bulletins."),
    "read": Entry("Analyst", _HERE + "analyst.read:read", "Open a bulletin."),
    "outbox": Entry("Analyst", _HERE + "analyst.outbox:outbox", "List sent bulletins; release held ones."),
    "draft": Entry("Analyst", _HERE + "analyst.drafts:draft", "Begin, check and edit drafts of bulletins."),
    "recall": Entry("Analyst", _HERE + "analyst.recall:recall", "Recall a bulletin."),
    "receipts": Entry(
        "Analyst", _HERE + "analyst.recall:receipts", "List the receipts that recipients have signed."
    ),
    "export": Entry("Analyst", _HERE + "analyst.export:export", "Write a proof of a release for others."),
    "stix": Entry("Analyst", _HERE + "analyst.stix:stix", "Write bulletins as STIX; make drafts from STIX."),
    "poll": Entry("Analyst", _HERE + "analyst.poll:poll", "Make drafts from TAXII servers and MISP feeds."),
    "misp": Entry(
        "Analyst", _HERE + "analyst.misp:misp", "Write bulletins for MISP; make drafts from events."
    ),
    "cap": Entry("Analyst", _HERE + "analyst.misp:cap", "Write bulletins about disasters as CAP alerts."),
    "watch": Entry("Analyst", _HERE + "analyst.watch:watch", "Show events as they happen."),
    "search": Entry("Analyst", _HERE + "analyst.watch:search", "Search the bulletins that you may see."),
    "why": Entry("Analyst", _HERE + "analyst.outbox:why", "Explain the decision for one recipient."),
    "rfi": Entry("Analyst", _HERE + "analyst.rfi:rfi", "Ask for information; answer, decline, close."),
    "obligations": Entry(
        "Analyst", _HERE + "analyst.rfi:obligations", "List obligations from received bulletins."
    ),
    "consent": Entry("Analyst", _HERE + "analyst.consent:consent", "Request and grant third-party consent."),
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
    "init": Entry("Operator", _HERE + "operator.init:init", "Create a member and its first node."),
    "node": Entry("Operator", _HERE + "operator.node:node", "Run, monitor and drain a node."),
    "user": Entry("Operator", _HERE + "operator.user:user", "Add, change, list and revoke users."),
    "member": Entry("Operator", _HERE + "operator.member:member", "Exchange trust with other members."),
    "courier": Entry(
        "Operator", _HERE + "operator.courier:courier", "Carry bulletins for a member across an air gap."
    ),
    "vault": Entry("Operator", _HERE + "operator.vault:vault", "Manage the vault with the node's keys."),
    "pki": Entry("Operator", _HERE + "operator.pki:pki", "Manage your node's certificates."),
    "trust": Entry(
        "Operator", _HERE + "operator.trust:trust", "Replace the root; show what depends on a key."
    ),
    "gateway": Entry(
        "Operator", _HERE + "operator.gateway:gateway", "Hand bulletins to tools over TAXII 2.1."
    ),
    "audit": Entry(
        "Operator", _HERE + "operator.audit:audit", "Verify the log, prove entries, report who shared what."
    ),
    "verify": Entry(
        "Everyone", _HERE + "operator.verify:verify", "Check a proof or evidence, without a node."
    ),
    "doctor": Entry("Everyone", _HERE + "operator.doctor:doctor", "Show what is wrong, and what to do next."),
    "console": Entry(
        "Everyone", _HERE + "operator.console:console", "Show your node in a browser on this machine."
    ),
    "demo": Entry("Everyone", "intelshare.demo.cli:demo", "Play a scenario with real nodes on this machine."),
    "sim": Entry("Everyone", "intelshare.sim.cli:sim", "Run nodes in simulated time, with faults."),
    "status": Entry("Everyone", _HERE + "operator.node:status", "Show your node's health, links and queues."),
    "whoami": Entry("Everyone", _HERE + "operator.about:whoami", "Show who you are to the node."),
    "enrol": Entry(
        "Everyone", _HERE + "operator.enrol:enrol", "Make your key and profile from an enrolment."
    ),
    "renew": Entry("Everyone", _HERE + "operator.enrol:renew", "Renew your certificate now."),
    "config": Entry("Everyone", _HERE + "operator.config:config", "Show the settings and their sources."),
    "errors": Entry("Everyone", _HERE + "operator.about:errors", "Explain a code, without a node."),
    "help": Entry("Everyone", _HERE + "operator.about:help_", "Explain the exit codes, or a command."),
    "schema": Entry("Everyone", _HERE + "operator.schema:schema", "Print the JSON Schema of a document."),
    "completion": Entry(
        "Everyone", _HERE + "operator.about:completion", "Print the completion script of a shell."
    ),
    "version": Entry("Everyone", _HERE + "operator.about:version", "Print the version."),
}
