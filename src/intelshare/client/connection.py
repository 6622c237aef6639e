"""The connection of one person to their node: every call of the user port, with errors as the node raised
them.

    with Client(find_profile(None, os.environ, Path.cwd())) as client:
        for entry in client.inbox(unread=True).entries: ...

Synchronous, one channel, mutual TLS. Answers are the wire's own messages (proto/intelshare/v1/user.proto).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import grpc
from google.protobuf.message import Message

from intelshare.client import files
from intelshare.client.attempts import PAUSE, SOON, Attempts, elsewhere
from intelshare.client.batch import DraftOutcome, Reading, in_groups, outcomes_in, unknown_outcome
from intelshare.client.channel import (
    DEADLINE,
    credentials_of,
    error_of,
    in_some_order,
    next_first,
    options_of,
    target_of,
)
from intelshare.client.profile import Credentials, Profile, address_of, read_credentials
from intelshare.errors import IntelshareError
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

A = TypeVar("A")

_READS_ALL = frozenset((
    "VerifyAudit", "Prove", "ProveNote", "ShowLog", "Report", "Repair",
    "KeyImpact", "RemoveMember", "RevokeKey",
))  # fmt: skip
"""The calls that read whole logs, or all records of a kind, and may take long."""

_LONG = 600.0
"""The seconds for one of these calls; INTELSHARE_PATIENCE scales them."""


def _nobody(at: int) -> None:
    del at


class Client:
    """Every method makes one call and raises ``IntelshareError`` with the code that the node gave.

    It also raises NODE_UNREACHABLE (no node answers, nothing happened), TLS_REFUSED (the node or this side
    does not accept the other's certificate), TIMED_OUT, and OUTCOME_UNKNOWN (``submit`` only: the answer was
    lost).
    """

    def __init__(
        self,
        profile: Profile,
        *,
        credentials: Credentials | None = None,
        channel: grpc.Channel | None = None,
        deadline: float | None = None,
    ) -> None:
        """``credentials``: used instead of the profile's, such as those of a ticket. ``channel``: used
        instead of a new one.
        """
        self.profile = profile
        self._deadline = patient(DEADLINE) if deadline is None else deadline
        self._address = in_some_order(address_of(profile)) if channel is None else str(profile.folder)
        self._credentials: Credentials | None = None
        if channel is None:
            self._credentials = credentials or read_credentials(profile)
            channel = self._secure(self._credentials)
        self._open(channel)

    def reconnect(self) -> bool:
        """Reconnect with the profile's current credentials; return false, and do nothing, if they have not
        changed.

        Raises ConfigError.
        """
        now = read_credentials(self.profile)
        if self._credentials is None or now == self._credentials:
            return False
        self._credentials = now
        self._address = in_some_order(address_of(self.profile))
        self._reopen()
        return True

    def _secure(self, credentials: Credentials) -> grpc.Channel:
        return grpc.secure_channel(
            target_of(self._address), credentials_of(credentials), options=options_of(self.profile)
        )

    def _reopen(self) -> None:
        if self._credentials is not None:
            self._channel.close()
            self._open(self._secure(self._credentials))

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
        """Close the connection."""
        self._channel.close()

    def submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """Store and release a bulletin; return once it is durable. The same ``key`` may be sent again at any
        time; this does so if the answer is lost (``attempts``).

        Raises DeliveryError OUTCOME_UNKNOWN if the call was made but no answer came.
        """
        attempts = Attempts(self._address)
        while True:
            try:
                # A node that cannot be reached is detected before the call whose loss would leave a doubt.
                soon = patient(SOON) if attempts.several else None
                self.whoami(deadline=soon)
                attempts.sent = True
                answer: pb.SubmitResponse = self._call("bulletins.Submit", request)
                return answer
            except IntelshareError as error:
                if (last := attempts.failed(error)) is not None:
                    raise last from None
            time.sleep(PAUSE)
            if attempts.stuck:
                self.try_another()

    def submit_many(self, requests: Iterable[pb.SubmitRequest]) -> Iterator[DraftOutcome]:
        """Store and release many bulletins over one call; yield each outcome, in order.

        Each of ``requests`` needs a ``key`` of its own. They are read ahead in groups of up to 64, so they
        must not wait for answers (``AsyncClient`` has no such restriction). A draft that the node refuses is
        an outcome, and the others continue. Raises what ends the whole call: everything that was yielded
        before is durable, and sending the same requests again stores nothing twice. Raises DeliveryError
        OUTCOME_UNKNOWN if the call broke after it began. What ``requests`` raises is raised after the
        outcomes of everything before it.
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
        """Return the decision that ``submit`` would make now. Nothing is stored."""
        answer: pb.SubmitResponse = self._call("bulletins.DryRun", as_dry_run(request))
        return answer

    def inbox(
        self, *, unread: bool = False, sender: str = "", category: str = "", since: int = 0, limit: int = 0
    ) -> pb.InboxResponse:
        """Return the inbox, newest first. ``since``: microseconds since 1970. ``limit``: 0 for the node's
        default.
        """
        request = pb.InboxRequest(unread=unread, category=category, since=since, limit=limit)
        setattr(request, "from", sender)
        answer: pb.InboxResponse = self._call("bulletins.Inbox", request)
        return answer

    def read(self, bulletin: str, *, originator: str = "") -> pb.ReadResponse:
        """Open a bulletin by the first digits of its id; the node logs that it was read.

        ``originator``: which bulletin, if two members have one with this id.
        """
        answer: pb.ReadResponse = self._call(
            "bulletins.Read", pb.ReadRequest(id=bulletin, originator=originator)
        )
        return answer

    def upload(
        self, file: BinaryIO, size: int, upload_id: bytes, *, told: Callable[[int], object] = _nobody
    ) -> bytes:
        """Upload an attachment to the node; return the content of the portion (kind 5) that stands for it.

        ``upload_id``: 16 random bytes; the same id resumes an interrupted upload. ``told`` is called with the
        number of bytes sent so far. Raises OSError of ``file`` too.
        """
        return self._made(lambda: files.upload(self._files.Upload, file, size, upload_id, told))

    def download(
        self,
        bulletin: str,
        portion: int,
        write: Callable[[bytes], object],
        *,
        originator: str = "",
        told: Callable[[int], object] = _nobody,
    ) -> int:
        """Pass the content of an attachment to ``write``, part by part; return its size once all of it was
        verified.

        ``portion``: its position among those that ``read`` shows, from 1. Until this returns, nothing is
        verified.
        """
        request = pb.DownloadRequest(id=bulletin, originator=originator, portion=portion)
        return self._made(lambda: files.download(self._files.Download(request), write, told))

    def export_bundle(
        self,
        member: str,
        write: Callable[[bytes], object],
        *,
        limit: int = 0,
        told: Callable[[int], object] = _nobody,
    ) -> pb.CourierBundle:
        """Pass a courier bundle for a member to ``write``, part by part; return its summary once it is
        complete.

        ``limit``: the approximate bytes of statements; 0 for the node's default. Until this returns, the
        bundle is not valid.
        """
        request = pb.CourierExportRequest(member=member, limit=limit)
        return self._made(lambda: files.export_bundle(self._courier.Export(request), write, told))

    def import_bundle(
        self, file: BinaryIO, *, told: Callable[[int], object] = _nobody
    ) -> pb.CourierImportResponse:
        """Have the node import a courier bundle; the answer's ``code`` gives the reason if it ended early.

        Raises OSError of ``file`` too.
        """
        try:
            return files.import_bundle(self._courier.Import, file, told)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def outbox(self, bulletin: str = "", *, held: bool = False, limit: int = 0) -> pb.OutboxResponse:
        """Return this member's bulletins, or the one whose id begins with ``bulletin``."""
        answer: pb.OutboxResponse = self._call(
            "bulletins.Outbox", pb.OutboxRequest(id=bulletin, held=held, limit=limit)
        )
        return answer

    def approve(self, bulletin: str, recipient: str, *, shown: bytes = b"") -> str:
        """Release a held pair; the word that the pair then has.

        ``shown``: the ``log_entry`` of the ``why`` that was shown; ID_CONFLICT if another is in force.
        """
        request = pb.ApproveRequest(id=bulletin, recipient=recipient, log_entry=shown)
        answer: pb.ApproveResponse = self._call("bulletins.Approve", request)
        return answer.word

    def give_up(self, bulletin: str, recipient: str, reason: str) -> str:
        """Wait for one recipient no longer; the word that the pair then has."""
        answer: pb.GiveUpResponse = self._call(
            "bulletins.GiveUp", pb.GiveUpRequest(id=bulletin, recipient=recipient, reason=reason)
        )
        return answer.word

    def refuse(self, bulletin: str, recipient: str, reason: str) -> str:
        """End a held pair for good; its author reads the reason. The word that the pair then has."""
        request = pb.RefuseRequest(id=bulletin, recipient=recipient, reason=reason)
        answer: pb.RefuseResponse = self._call("bulletins.Refuse", request)
        return answer.word

    def why(self, bulletin: str, recipient: str, *, changes: bool = False) -> pb.WhyResponse:
        """Return the decision of one pair, rule by rule; ``changes``: with what would release it."""
        request = pb.WhyRequest(id=bulletin, recipient=recipient, changes=changes)
        answer: pb.WhyResponse = self._call("bulletins.Why", request)
        return answer

    def withheld(
        self, *, since: int = 0, recipient: str = "", code: str = "", limit: int = 0
    ) -> pb.WithheldResponse:
        """Count what was withheld, by recipient and reason; ``limit`` cases of this recipient and code."""
        request = pb.WithheldRequest(since=since, recipient=recipient, code=code, limit=limit)
        answer: pb.WithheldResponse = self._call("bulletins.Withheld", request, deadline=patient(_LONG))
        return answer

    def ask_consent(self, bulletin: str, recipient: str, *, until: int = 0) -> pb.ConsentResponse:
        """Ask the originators of portions in a bulletin of this member to let this recipient have them."""
        request = pb.ConsentRequest(id=bulletin, recipient=recipient, until=until)
        response: pb.ConsentResponse = self._call("consents.Request", request)
        return response

    def answer_consent(
        self, bulletin: str, recipient: str, *, grant: bool, until: int = 0, originator: str = ""
    ) -> pb.ConsentResponse:
        """Grant or refuse a peer's request about its bulletin; refusing withdraws a grant."""
        said = pb.ConsentAnswer(
            id=bulletin, recipient=recipient, grant=grant, until=until, originator=originator
        )
        response: pb.ConsentResponse = self._call("consents.Answer", said)
        return response

    def consents(self) -> pb.ConsentResponse:
        """Return the requests for consent in both directions, newest first."""
        response: pb.ConsentResponse = self._call("consents.List", pb.ConsentListRequest())
        return response

    def recall(self, bulletin: str, reason: str, *, dry_run: bool = False) -> pb.RecallResponse:
        """Recall a bulletin of this member, or tell what that would do; return the status of its pairs after
        it.
        """
        request = pb.RecallRequest(id=bulletin, reason=reason, dry_run=dry_run)
        answer: pb.RecallResponse = self._call("bulletins.Recall", request)
        return answer

    def receipts(self, bulletin: str) -> pb.ReceiptsResponse:
        """Return every signed receipt for a bulletin of this member, oldest first."""
        answer: pb.ReceiptsResponse = self._call("bulletins.Receipts", pb.ReceiptsRequest(id=bulletin))
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
        """Return a release with everything that was signed and logged about it, as the text of a file for
        others.
        """
        request = pb.ExportReleaseRequest(
            bulletin=bulletin, recipient=recipient, content=content, slots=slots, originator=originator
        )
        answer: pb.FileResponse = self._call("audit.ExportRelease", request, deadline=patient(_LONG))
        return answer.text

    def watch(self, cursor: str = "", *, once: bool = False) -> Iterator[pb.WatchEvent]:
        """Yield events from ``cursor`` on (empty: from now on), for ever; with ``once``, until all have been
        sent.

        The first event, and some later ones, only carry a cursor. Closing the iterator ends the watch.
        """
        yield from self._streamed(self._bulletins.Watch(pb.WatchRequest(cursor=cursor, once=once)))

    def follow(
        self, consumers: Sequence[pb.Consumer], cursor: str = "", *, once: bool = False
    ) -> Iterator[pb.FollowEvent]:
        """Yield what a gateway may hand on, from ``cursor`` on (empty: from the beginning), for ever.

        ``once``: until everything has been sent. Role gateway. Closing the iterator ends the stream.
        """
        request = pb.FollowRequest(cursor=cursor, once=once, consumers=consumers)
        yield from self._streamed(self._gateways.Follow(request))

    def export_to(
        self, consumer: pb.Consumer, bulletins: Sequence[pb.NamedBulletin]
    ) -> Sequence[Sequence[int]]:
        """Return, before anything leaves, the slots that the consumer may have now of each bulletin (at most
        128).

        The node then logs that the consumer had them. Role gateway.
        """
        request = pb.ExportRequest(consumer=consumer, bulletins=bulletins)
        answer: pb.ExportResponse = self._call("gateways.Export", request)
        return [tuple(one.slots) for one in answer.slots]

    def search(self, query: str, *, outbox: bool = False) -> Iterator[pb.SearchResponse]:
        """Yield pages of the bulletins that contain all the words, newest first; each page is one call, made
        on demand.
        """
        request = pb.SearchRequest(
            query=query, where=pb.SEARCH_WHERE_OUTBOX if outbox else pb.SEARCH_WHERE_INBOX
        )
        while True:
            page: pb.SearchResponse = self._call("bulletins.Search", request)
            yield page
            if not page.HasField("before"):
                return
            request.before.CopyFrom(page.before)

    def requests(self) -> pb.RequestsResponse:
        """Return requests for information in both directions, newest first."""
        response: pb.RequestsResponse = self._call("tasks.Requests", pb.RequestsRequest())
        return response

    def obligations(self, *, everything: bool = False) -> pb.ObligationsResponse:
        """Return obligations to report, the earliest due first; ``everything``: including those that
        are met.
        """
        request = pb.ObligationsRequest(all=everything)
        response: pb.ObligationsResponse = self._call("tasks.Obligations", request)
        return response

    def meet(self, bulletin: str, obligation: str, *, originator: str = "") -> pb.ObligationEntry:
        """Record that an obligation is met."""
        said = pb.MeetRequest(id=bulletin, obligation=obligation, originator=originator)
        response: pb.ObligationEntry = self._call("tasks.Meet", said)
        return response

    def whoami(self, *, deadline: float | None = None) -> pb.WhoAmIResponse:
        """Return the user as which the node knows this client. ``deadline``: seconds; None: as every call."""
        answer: pb.WhoAmIResponse = self._call("bulletins.WhoAmI", pb.WhoAmIRequest(), deadline=deadline)
        return answer

    def status(self) -> pb.StatusResponse:
        """Return health, links and queues."""
        answer: pb.StatusResponse = self._call("operations.Status", pb.StatusRequest())
        return answer

    def own_files(self) -> dict[str, str]:
        """Return the ladders, groups and words that the node's member adds to what ships: text by name."""
        answer: pb.ListOwnFilesResponse = self._call("treaties.ListOwnFiles", pb.ListOwnFilesRequest())
        return {file.name: file.text for file in answer.files}

    def ask(self, method: str, request: Message) -> Any:
        """A call of the Bulletins service by its name (``"Inbox"``)."""
        return self._call(f"bulletins.{method}", request)

    def treat(self, method: str, request: Message) -> Any:
        """Call the Treaties service by method name (``"PreviewAct"``)."""
        return self._call(f"treaties.{method}", request)

    def operate(self, method: str, request: Message) -> Any:
        """Call the Operations or Audit service by method name (``"AddUser"``), for their users."""
        service = "operations" if hasattr(self._operations, method) else "audit"
        deadline = patient(_LONG) if method in _READS_ALL else None
        return self._call(f"{service}.{method}", request, deadline=deadline)

    def try_another(self) -> None:
        """Ask another replica from now on, if the profile names several."""
        self._address = next_first(self._address)
        self._reopen()

    def _call(self, method: str, request: Message, *, deadline: float | None = None) -> Any:
        """``method``: ``service.Method``, of the connection that is open when it is called."""
        service, _, name = method.partition(".")
        return self._made(
            lambda: getattr(getattr(self, f"_{service}"), name)(request, timeout=deadline or self._deadline)
        )

    def _made(self, call: Callable[[], A]) -> A:
        """Make a call, at another replica if one says that it did nothing. Raises IntelshareError."""

        def told() -> A:
            try:
                return call()
            except grpc.RpcError as error:
                raise self._error(error) from None

        return elsewhere(told, self._address, self.try_another)

    def _streamed(self, call: Any) -> Iterator[Any]:
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._error(error) from None
        finally:
            call.cancel()

    def _error(self, error: Any) -> IntelshareError:
        return error_of(error, self.profile, self._address)


def as_dry_run(request: pb.SubmitRequest) -> pb.SubmitRequest:
    """The same in the form of a submission; nothing is stored under its key."""
    asked = pb.SubmitRequest()
    asked.CopyFrom(request)
    asked.key = request.key or bytes(16)
    return asked


def content_digest(key: bytes, request: pb.SubmitRequest) -> str:
    """Return a digest that is equal for requests that differ only in their idempotency key; ``key`` is
    ``digest_key``'s.
    """
    import hmac

    bare = pb.SubmitRequest()
    bare.CopyFrom(request)
    bare.key = b""
    return hmac.digest(key, bare.SerializeToString(deterministic=True), "sha256").hex()
