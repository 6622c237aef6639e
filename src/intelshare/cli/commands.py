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
    "send": Entry("Analyst", _HERE + "sending:send", "Send a bulletin to members."),
    "inbox": Entry("Analyst", _HERE + "reading:inbox", "List what was received."),
    "read": Entry("Analyst", _HERE + "reading:read", "Open a bulletin."),
    "outbox": Entry("Analyst", _HERE + "outgoing:outbox", "List what was sent; release what is held."),
    "recall": Entry("Analyst", _HERE + "recalling:recall", "Take a bulletin back."),
    "receipts": Entry("Analyst", _HERE + "recalling:receipts", "What recipients have signed."),
    "watch": Entry("Analyst", _HERE + "watching:watch", "Show what happens, as it happens."),
    "search": Entry("Analyst", _HERE + "watching:search", "Find words in what you may see."),
    "why": Entry("Analyst", _HERE + "outgoing:why", "Explain the decision for one recipient."),
    "rfi": Entry("Analyst", _HERE + "requests:rfi", "Ask for information; answer, decline, close."),
    "obligations": Entry("Analyst", _HERE + "requests:obligations", "What received bulletins oblige you to."),
    "consent": Entry("Analyst", _HERE + "consents:consent", "Ask for and give third-party consent."),
    "label": Entry("Policy author", _HERE + "labelling:label", "Read and convert labels."),
    "treaty": Entry(
        "Policy author", _HERE + "treaties:treaty", "List, compare, draw and check treaties; act as a party."
    ),
    "policy": Entry(
        "Policy author", _HERE + "policy:policy", "Check, test and explain treaties and overlays."
    ),
    "conformance": Entry(
        "Policy author", _HERE + "conforming:conformance", "Check test vectors against this program."
    ),
    "init": Entry("Operator", _HERE + "founding:init", "Found a member and its first node."),
    "node": Entry("Operator", _HERE + "running:node", "Run a node; show its state."),
    "user": Entry("Operator", _HERE + "users:user", "Add, renew, list and revoke users."),
    "member": Entry("Operator", _HERE + "members:member", "Exchange trust with other members."),
    "audit": Entry(
        "Operator", _HERE + "auditing:audit", "Verify the log; prove from it; report who shared what."
    ),
    "doctor": Entry("Everyone", _HERE + "doctor:doctor", "Say what is wrong, and what to do next."),
    "demo": Entry("Everyone", "intelshare.demo.cli:demo", "Play a scenario with real nodes on this machine."),
    "sim": Entry("Everyone", "intelshare.sim.cli:sim", "Run nodes in simulated time, with faults."),
    "status": Entry("Everyone", _HERE + "running:status", "Health, links and queues of the own node."),
    "whoami": Entry("Everyone", _HERE + "about:whoami", "Who the node takes you for."),
    "config": Entry("Everyone", _HERE + "configuring:config", "Show the settings, and what set them."),
    "errors": Entry("Everyone", _HERE + "about:errors", "Explain a code, without a node."),
    "help": Entry("Everyone", _HERE + "about:help_", "Explain the exit codes, or a command."),
    "completion": Entry("Everyone", _HERE + "about:completion", "Print the completion script of a shell."),
    "version": Entry("Everyone", _HERE + "about:version", "Print the version."),
}
