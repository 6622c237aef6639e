"""Recalls and receipts, as the Bulletins service answers them."""

from __future__ import annotations

from collections.abc import Mapping

from intelshare.broker.exchange.recall import RecallCommand, RecallResult, effect_of_recall, recall
from intelshare.broker.exchange.receipt import Signed, receipts
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.delivery import word
from intelshare.node.authn import UserCaller
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.wire.v1 import user_pb2 as pb


def recalls(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def recall_(caller: UserCaller, request: pb.RecallRequest) -> pb.RecallResponse:
        command = RecallCommand(caller.user, request.id, request.reason)
        if request.dry_run:
            return _taking(
                runtime.store.ask_now(
                    lambda view: effect_of_recall(runtime.node, view, command, runtime.now())
                )
            )
        return _taking((await links.act(recall, command)).value)

    async def receipts_(caller: UserCaller, request: pb.ReceiptsRequest) -> pb.ReceiptsResponse:
        row, found = runtime.store.ask_now(
            lambda view: receipts(runtime.node, view, caller.user, request.id, runtime.now())
        )
        return pb.ReceiptsResponse(bulletin=row.bulletin, receipts=[_signed(one) for one in found])

    return {"Recall": recall_, "Receipts": receipts_}


def _taking(taking: RecallResult) -> pb.RecallResponse:
    return pb.RecallResponse(
        bulletin=taking.row.bulletin,
        before=taking.before,
        pairs=[
            pb.RecallPair(recipient=row.recipient, word=word(facts_of(row)), effect=effect)
            for row, effect in taking.pairs
        ],
    )


def _signed(one: Signed) -> pb.SignedReceipt:
    return pb.SignedReceipt(
        recipient=one.member,
        status=one.receipt.status.name,
        codes=one.receipt.codes,
        decided_at=one.receipt.decided_at,
        received_at=one.row.at,
        digest=one.row.leaf,
        release=one.receipt.leaf,
        flaw=one.flaw,
    )
