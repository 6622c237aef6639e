"""The connection of one person to their node: every call of the user port, errors as they were raised there.

    with Client(find_profile(None, os.environ, Path.cwd())) as client:
        for entry in client.inbox(unread=True).entries: ...

Synchronous, one channel, mutual TLS. Answers are the wire's own messages (proto/intelshare/v1/user.proto).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

import grpc
from google.protobuf.message import Message

from intelshare.client import files
from intelshare.client.batch import Outcome, Reading, in_groups, outcomes_in, unknown_outcome
from intelshare.client.channel import DEADLINE, credentials_of, error_of, options_of
from intelshare.client.profile import Credentials, Profile, address_of, read_credentials
from intelshare.errors import IntelshareError
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

_READS_LOGS = frozenset(("VerifyAudit", "Prove", "ProveNote", "ShowLog", "Report"))
"""Calls that read whole logs, which takes as long as it takes."""

_LONG = 600.0
"""Seconds for one of those; INTELSHARE_PATIENCE scales it."""


def _nobody(at: int) -> None:
    del at


class Client:
    """Every method makes one call and raises ``IntelshareError`` with the code that the node gave.

    Besides: NODE_UNREACHABLE (nobody answers, nothing happened), TLS_REFUSED (the node or this side does not
    accept the other's certificate), TIMED_OUT, OUTCOME_UNKNOWN (``submit`` only: the answer was lost).
    """

    def __init__(
        self,
        profile: Profile,
        *,
        credentials: Credentials | None = None,
        channel: grpc.Channel | None = None,
        deadline: float | None = None,
    ) -> None:
        """``credentials``: others than the profile's, as those of a ticket. ``channel``: another way in."""
        self.profile = profile
        self._deadline = patient(DEADLINE) if deadline is None else deadline
        self._address = address_of(profile) if channel is None else str(profile.folder)
        self._credentials: Credentials | None = None
        if channel is None:
            self._credentials = credentials or read_credentials(profile)
            channel = self._secure(self._credentials)
        self._open(channel)

    def reconnect(self) -> bool:
        """Come in with what the profile holds now; False, and nothing happens, if that is what was before.

        Raises ConfigError.
        """
        now = read_credentials(self.profile)
        if self._credentials is None or now == self._credentials:
            return False
        self._channel.close()
        self._credentials = now
        self._address = address_of(self.profile)
        self._open(self._secure(now))
        return True

    def _secure(self, credentials: Credentials) -> grpc.Channel:
        return grpc.secure_channel(
            self._address, credentials_of(credentials), options=options_of(self.profile)
        )

    def _open(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._bulletins = services.BulletinsStub(self._channel)
        self._gateways = services.GatewaysStub(self._channel)
        self._files = services.FilesStub(self._channel)
        self._courier = services.CourierStub(self._channel)
        self._consents = services.ConsentsStub(self._channel)
        self._tasks = services.TasksStub(self._channel)
        self._operations = services.OperationsStub(self._channel)
        self._audit = services.AuditStub(self._channel)
        self._treaties = services.TreatiesStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()

    def submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """Store and release; returns only what is durable. The same ``key`` may be sent again for ever.

        Raises DeliveryError OUTCOME_UNKNOWN when the call was made and no answer came.
        """
        # A node that cannot be reached is found out before the call whose loss would leave a doubt.
        self.whoami()
        try:
            answer: pb.SubmitResponse = self._call(self._bulletins.Submit, request)
            return answer
        except IntelshareError as error:
            raise unknown_outcome(error, self._address) or error from None

    def submit_many(self, requests: Iterable[pb.SubmitRequest]) -> Iterator[Outcome]:
        """Store and release many bulletins over one call: what became of each, in their order.

        ``requests``, each with a ``key`` of its own, are read ahead in groups of up to 64, so they must not
        wait for answers (``AsyncClient`` has no such bound). A draft that the node refuses is an outcome, and
        the others go on. Raises what ends the whole call: everything that was yielded before is durable, and
        the same requests again store nothing twice. DeliveryError OUTCOME_UNKNOWN: it broke after it began.
        What ``requests`` raises is raised after the outcomes of all that came before.
        """
        self.whoami()
        reading = Reading(in_groups(requests))
        call = self._bulletins.SubmitMany(reading)
        try:
            for message in call:
                yield from outcomes_in(message)
        except grpc.RpcError as broken:
            error = self._error(broken)
            raise unknown_outcome(error, self._address) or error from None
        finally:
            call.cancel()
        reading.check()

    def dry_run(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """The decision that ``submit`` would make now. Nothing is stored."""
        asked = pb.SubmitRequest()
        asked.CopyFrom(request)
        # The form is that of a submission; nothing is stored under this key.
        asked.key = request.key or bytes(16)
        answer: pb.SubmitResponse = self._call(self._bulletins.DryRun, asked)
        return answer

    def inbox(
        self, *, unread: bool = False, sender: str = "", category: str = "", since: int = 0, limit: int = 0
    ) -> pb.InboxResponse:
        """Newest first. ``since``: microseconds since 1970; 0 in ``limit``: as many as the node gives."""
        request = pb.InboxRequest(unread=unread, category=category, since=since, limit=limit)
        setattr(request, "from", sender)
        answer: pb.InboxResponse = self._call(self._bulletins.Inbox, request)
        return answer

    def read(self, bulletin: str, *, originator: str = "") -> pb.ReadResponse:
        """Open a bulletin by the beginning of its id; the node logs that it was read.

        ``originator``: which one, where two members have a bulletin of that id.
        """
        answer: pb.ReadResponse = self._call(
            self._bulletins.Read, pb.ReadRequest(id=bulletin, originator=originator)
        )
        return answer

    def upload(
        self, file: BinaryIO, size: int, upload_id: bytes, *, told: Callable[[int], object] = _nobody
    ) -> bytes:
        """Bring an attachment to the node; the content of the portion (kind 5) that stands for it.

        ``upload_id``: 16 random bytes; the same again goes on where it was cut. ``told`` hears how many bytes
        are through. Raises OSError of ``file`` too.
        """
        try:
            return files.upload(self._files.Upload, file, size, upload_id, told)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def download(
        self,
        bulletin: str,
        portion: int,
        write: Callable[[bytes], object],
        *,
        originator: str = "",
        told: Callable[[int], object] = _nobody,
    ) -> int:
        """Give the content of an attachment to ``write``, part by part; its size once all of it was right.

        ``portion``: its place among those that ``read`` shows, from 1. Until it returns nothing is sure.
        """
        request = pb.DownloadRequest(id=bulletin, originator=originator, portion=portion)
        try:
            return files.download(self._files.Download(request), write, told)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def export_bundle(
        self,
        member: str,
        write: Callable[[bytes], object],
        *,
        limit: int = 0,
        told: Callable[[int], object] = _nobody,
    ) -> pb.CourierBundle:
        """Give a courier bundle for a member to ``write``, part by part; what is in it, once it is whole.

        ``limit``: bytes of statements, about; 0: the node's own. Until it returns the bundle is none.
        """
        request = pb.CourierExportRequest(member=member, limit=limit)
        try:
            return files.export_bundle(self._courier.Export(request), write, told)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def import_bundle(
        self, file: BinaryIO, *, told: Callable[[int], object] = _nobody
    ) -> pb.CourierImportResponse:
        """Have the node take in a courier bundle; its ``code`` says why where it ended early.

        Raises OSError of ``file`` too.
        """
        try:
            return files.import_bundle(self._courier.Import, file, told)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def outbox(self, bulletin: str = "", *, held: bool = False, limit: int = 0) -> pb.OutboxResponse:
        """Own member's bulletins, or the one whose id begins so."""
        answer: pb.OutboxResponse = self._call(
            self._bulletins.Outbox, pb.OutboxRequest(id=bulletin, held=held, limit=limit)
        )
        return answer

    def approve(self, bulletin: str, recipient: str) -> str:
        """Release a held pair; the word that the pair then has."""
        answer: pb.ApproveResponse = self._call(
            self._bulletins.Approve, pb.ApproveRequest(id=bulletin, recipient=recipient)
        )
        return answer.word

    def why(self, bulletin: str, recipient: str) -> pb.WhyResponse:
        """The decision of one pair, rule by rule."""
        answer: pb.WhyResponse = self._call(
            self._bulletins.Why, pb.WhyRequest(id=bulletin, recipient=recipient)
        )
        return answer

    def ask_consent(self, bulletin: str, recipient: str, *, until: int = 0) -> pb.ConsentResponse:
        """Ask the originators of an own bulletin's portions to let this recipient have them."""
        request = pb.ConsentRequest(id=bulletin, recipient=recipient, until=until)
        response: pb.ConsentResponse = self._call(self._consents.Request, request)
        return response

    def answer_consent(
        self, bulletin: str, recipient: str, *, grant: bool, until: int = 0, originator: str = ""
    ) -> pb.ConsentResponse:
        """Grant or refuse what a peer has asked about its bulletin; refusing takes a grant back."""
        said = pb.ConsentAnswer(
            id=bulletin, recipient=recipient, grant=grant, until=until, originator=originator
        )
        response: pb.ConsentResponse = self._call(self._consents.Answer, said)
        return response

    def consents(self) -> pb.ConsentResponse:
        """What was asked, both ways, newest first."""
        response: pb.ConsentResponse = self._call(self._consents.List, pb.ConsentListRequest())
        return response

    def recall(self, bulletin: str, reason: str, *, dry_run: bool = False) -> pb.RecallResponse:
        """Take an own bulletin back, or say what that would do; the words of its pairs after it."""
        request = pb.RecallRequest(id=bulletin, reason=reason, dry_run=dry_run)
        answer: pb.RecallResponse = self._call(self._bulletins.Recall, request)
        return answer

    def receipts(self, bulletin: str) -> pb.ReceiptsResponse:
        """Every signed receipt for an own bulletin, oldest first."""
        answer: pb.ReceiptsResponse = self._call(self._bulletins.Receipts, pb.ReceiptsRequest(id=bulletin))
        return answer

    def export_release(
        self,
        bulletin: str,
        recipient: str = "",
        *,
        content: bool = False,
        slots: Sequence[int] = (),
        originator: str = "",
    ) -> str:
        """A release with all that was signed and logged about it: the text of a file for others."""
        request = pb.ExportReleaseRequest(
            bulletin=bulletin, recipient=recipient, content=content, slots=slots, originator=originator
        )
        answer: pb.FileResponse = self._call(self._audit.ExportRelease, request, deadline=patient(_LONG))
        return answer.text

    def watch(self, cursor: str = "", *, once: bool = False) -> Iterator[pb.WatchEvent]:
        """What happens from ``cursor`` on (empty: from now on), for ever; ``once``: until all was told.

        The first event, and some later ones, say only where the watch is. Closing the iterator ends it.
        """
        call = self._bulletins.Watch(pb.WatchRequest(cursor=cursor, once=once))
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._error(error) from None
        finally:
            call.cancel()

    def follow(
        self, consumers: Sequence[pb.Consumer], cursor: str = "", *, once: bool = False
    ) -> Iterator[pb.FollowEvent]:
        """What a gateway may hand on, from ``cursor`` on (empty: from the beginning), for ever.

        ``once``: until all was told. Role gateway. Closing the iterator ends it.
        """
        call = self._gateways.Follow(pb.FollowRequest(cursor=cursor, once=once, consumers=consumers))
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._error(error) from None
        finally:
            call.cancel()

    def export_to(
        self, consumer: pb.Consumer, bulletins: Sequence[pb.NamedBulletin]
    ) -> Sequence[Sequence[int]]:
        """Before anything leaves: of each bulletin (at most 128) the slots that the consumer may have now.

        The node's log then says that it had them. Role gateway.
        """
        request = pb.ExportRequest(consumer=consumer, bulletins=bulletins)
        answer: pb.ExportResponse = self._call(self._gateways.Export, request)
        return [tuple(one.slots) for one in answer.slots]

    def search(self, query: str, *, outbox: bool = False) -> Iterator[pb.SearchResponse]:
        """Pages of what holds all the words, newest first; a page is a call, made when it is asked for."""
        request = pb.SearchRequest(query=query, where=2 if outbox else 1)
        while True:
            page: pb.SearchResponse = self._call(self._bulletins.Search, request)
            yield page
            if not page.HasField("before"):
                return
            request.before.CopyFrom(page.before)

    def requests(self) -> pb.RequestsResponse:
        """Requests for information, both ways, newest first."""
        response: pb.RequestsResponse = self._call(self._tasks.Requests, pb.RequestsRequest())
        return response

    def obligations(self, *, everything: bool = False) -> pb.ObligationsResponse:
        """Obligations to report, those due first; ``everything``: also those that are met."""
        request = pb.ObligationsRequest(all=everything)
        response: pb.ObligationsResponse = self._call(self._tasks.Obligations, request)
        return response

    def meet(self, bulletin: str, obligation: str, *, originator: str = "") -> pb.ObligationEntry:
        """Say that an obligation is met."""
        said = pb.MeetRequest(id=bulletin, obligation=obligation, originator=originator)
        response: pb.ObligationEntry = self._call(self._tasks.Meet, said)
        return response

    def whoami(self) -> pb.WhoAmIResponse:
        """Who the node takes this client for."""
        answer: pb.WhoAmIResponse = self._call(self._bulletins.WhoAmI, pb.WhoAmIRequest())
        return answer

    def status(self) -> pb.StatusResponse:
        """Health, links and queues."""
        answer: pb.StatusResponse = self._call(self._operations.Status, pb.StatusRequest())
        return answer

    def own_files(self) -> dict[str, str]:
        """Name and text of the ladders, groups and words that the node's member adds to what ships."""
        answer: pb.ListOwnFilesResponse = self._call(self._treaties.ListOwnFiles, pb.ListOwnFilesRequest())
        return {file.name: file.text for file in answer.files}

    def treat(self, method: str, request: Message) -> Any:
        """A call of the Treaties service by its name (``"PreviewAct"``)."""
        return self._call(getattr(self._treaties, method), request)

    def operate(self, method: str, request: Message) -> Any:
        """A call of the Operations or Audit service by its name (``"AddUser"``), for their users."""
        call = getattr(self._operations, method, None) or getattr(self._audit, method)
        return self._call(call, request, deadline=patient(_LONG) if method in _READS_LOGS else None)

    def _call(self, method: Any, request: Message, *, deadline: float | None = None) -> Any:
        try:
            return method(request, timeout=deadline or self._deadline)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> IntelshareError:
        return error_of(error, self.profile, self._address)


def content_digest(key: bytes, request: pb.SubmitRequest) -> str:
    """What makes two requests the same but for their idempotency key; ``key`` is that of ``digest_key``."""
    import hmac

    bare = pb.SubmitRequest()
    bare.CopyFrom(request)
    bare.key = b""
    return hmac.digest(key, bare.SerializeToString(deterministic=True), "sha256").hex()
