"""Each rule below, switched off, makes a vector fail: so the vectors pin it.

One of the hello needs none: a key that names a node is a signing key, or its document is malformed. The
rules are those that vectors once did not pin: an implementation without one of them would have passed.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from intelshare.audit import exhibit, path
from intelshare.broker.treaty import act_record
from intelshare.builtin import builtin_registry
from intelshare.conformance import conform, statement_shapes
from intelshare.envelope import bundle, padding
from intelshare.envelope import open as opening
from intelshare.trust import courier, documents, former, hello, rules, view
from weakened import weakened

statements: Any = import_module("intelshare.statement.verify")
FOLDER = Path(__file__).parent
STATEMENTS = json.loads((FOLDER / "statements.json").read_text("utf-8"))
PARTS = {
    **{name: {name: part} for name, part in STATEMENTS.items() if name != "seed"},
    "bundles": json.loads((FOLDER / "bundles.json").read_text("utf-8")),
    "releases": json.loads((FOLDER / "releases.json").read_text("utf-8")),
}

Rule = tuple[str, str, Any, str, str]

RULES: list[Rule] = [
    # name, part of the vectors, function, what stands there, what stands there instead
    ("padding: a byte that is not zero", "releases", padding.check_padding,
     "padded.count(0, end) != len(padded) - end", "False"),
    ("padding: another length", "releases", padding.check_padding,
     "len(padded) != padded_length(end, floor)", "False"),
    ("key: suite of the key", "verdicts", statements._signer, "signer.suite != record.suite", "False"),
    ("key: not before its time", "verdicts", statements._check_signer_at,
     "not signer.not_before <= record.signed_at", "not record.signed_at"),
    ("key: the revocation is of this key", "verdicts", statement_shapes._Known.revocation,
     "self.revoked if self.revoked and self.revoked.subject == key_id else None", "self.revoked"),
    ("path: hops left over", "paths", path.follow, "at.incarnation in (wanted, 0):\n            raise",
     "False:\n            raise"),
    ("record: a release above 1,000 bytes", "records", opening.check_size,
     "len(data) > MAX_RELEASE", "False"),
    ("record: a reservation in suspend", "records", act_record.check,
     "len(said.reservation) not in wanted", "len(said.reservation) < min(wanted)"),
    ("exhibit: releases of two streams", "exhibits", exhibit._of_numbers,
     "stream != (second.origin, second.incarnation, second.recipient)", "False"),
    ("exhibit: the head of another stream", "exhibits", exhibit._of_head,
     "stream != (head.incarnation, head.to, head.last)", "False"),
    ("exhibit: acts of two members", "exhibits", exhibit._contradict,
     "(first.member, first.n) == (second.member, second.n)", "first.n == second.n"),
    ("exhibit: checkpoints of two nodes", "exhibits", exhibit._of_logs,
     "one.origin != other.origin", "False"),
    ("hello: the node is in a directory", "hello", hello.signer_of,
     "key.node != node or listed is None or listed[0] != key.member", "False"),
    ("hello: floor of suites", "hello", hello.signer_of, "key.suite < view.floor", "False"),
    ("hello: not before its time", "hello", hello.signer_of, "not key.not_before <= at < key.not_after",
     "not at < key.not_after"),
    ("trust: handed over by another", "succession", view.TrustView.with_document,
     "peer is not None and member != peer", "False"),
    ("trust: a member never met", "succession", view.unknown_member, '"TRUST_FINGERPRINT"', '"TRUST_FORK"'),
    ("trust: root fork", "succession", rules._root_again,
     'raise _fork("root", root.version, held.member)', "return held"),
    ("trust: root rollback", "later_succession", rules._root_again,
     "root.version == held.root.version", "True"),
    ("trust: root n + 2", "succession", rules.accept_root, "root.version != present + 1", "False"),
    ("trust: what was revoked stays so", "forgetting_succession", documents.is_missing,
     "said is None or row.mildness < said.mildness", "False"),
    ("trust: an end does not move to later", "forgetting_succession", documents.is_missing,
     "row.mildness < said.mildness", "False"),
    ("trust: a key that is left out has ended", "forgetting_succession", former.ended_by,
     "key not in after.keys", "False"),
    ("trust: of nodes the present directory decides", "forgetting_succession", rules._remembered,
     "row.what is not Revoked.NODE", "True"),
    ("trust: the domain of another", "succession", view.TrustView._changed,
     "other.root.domain == after.root.domain", "False"),
    ("trust: a node outside its domain", "succession", rules._check_within,
     "not (node.uri.startswith(prefix) and node.dns.endswith(suffix))", "False"),
    ("trust: a directory at its expiry", "succession", rules.MemberTrust.fresh,
     "at < self.directory.expires", "at <= self.directory.expires"),
    ("bundle: its padding has its length", "bundles", bundle.BundleReader.finish,
     "self._length != padded_length(self._ended_at, FLOOR)", "False"),
    ("bundle: its padding is zero", "bundles", bundle.BundleReader._open,
     "self._plain.count(0) != len(self._plain)", "False"),
    ("bundle: signed ahead", "bundles", courier.check_head, "signed.signed_at > at + MAX_AHEAD", "False"),
    ("bundle: of the own member", "bundles", courier.check_head, "key.member == view.own", "False"),
    ("bundle: for whom", "bundles", courier.check_head, "head.to != view.own", "False"),
]  # fmt: skip


def fails(part: str) -> bool:
    """Whether this part of the vectors finds something wrong."""
    return bool(conform(PARTS[part], builtin_registry())[1])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[0])
def test_without_this_rule_a_vector_fails(rule: Rule) -> None:
    _, part, function, find, put = rule
    with weakened(function, find, put):
        assert fails(part)


@pytest.mark.parametrize("part", sorted({rule[1] for rule in RULES}))
def test_with_all_rules_none_does(part: str) -> None:
    assert not fails(part)
