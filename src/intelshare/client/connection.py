"""The connection of one person to their node: every call of the user port, errors as they were raised there.

    with Client(find_profile(None, os.environ, Path.cwd())) as client:
        for entry in client.inbox(unread=True).entries: ...

Synchronous, one channel, mutual TLS. Answers are the wire's own messages (proto/intelshare/v1/user.proto).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from intelshare.client.profile import Profile, address_of
from intelshare.errors import ConfigError, DeliveryError, IntelshareError, Place
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

DEADLINE = 10.0
"""Seconds for one call; INTELSHARE_PATIENCE scales it."""

_READS_LOGS = frozenset(("VerifyAudit", "Prove", "Report"))
"""Calls that read whole logs, which takes as long as it takes."""

_LONG = 600.0
"""Seconds for one of those; INTELSHARE_PATIENCE scales it."""

MAX_ANSWER = 4 * 1024 * 1024

_CODE = "intelshare-code"
_DETAIL = "intelshare-detail-bin"


class Client:
    """Every method makes one call and raises ``IntelshareError`` with the code that the node gave.

    Besides: NODE_UNREACHABLE (nobody answers, nothing happened), TLS_REFUSED (the node or this side does not
    accept the other's certificate), TIMED_OUT, OUTCOME_UNKNOWN (``submit`` only: the answer was lost).
    """

    def __init__(self, profile: Profile, *, deadline: float | None = None) -> None:
        self.profile = profile
        self._deadline = patient(DEADLINE) if deadline is None else deadline
        self._address = address_of(profile)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_bytes(profile.authority),
            private_key=_bytes(profile.key),
            certificate_chain=_bytes(profile.certificate),
        )
        self._channel = grpc.secure_channel(
            self._address,
            credentials,
            options=(
                ("grpc.default_authority", profile.server_name),
                ("grpc.ssl_target_name_override", profile.server_name),
                ("grpc.max_receive_message_length", MAX_ANSWER),
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),
            ),
        )
        self._bulletins = services.BulletinsStub(self._channel)
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
            if error.code not in ("NODE_UNREACHABLE", "TLS_REFUSED", "TIMED_OUT"):
                raise
            raise DeliveryError(
                "OUTCOME_UNKNOWN",
                "the connection broke before the node answered: the bulletin may be stored, or not",
                place=Place(self._address),
            ) from None

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
        """Open a bulletin by the beginning of its id; the node logs that it was read."""
        answer: pb.ReadResponse = self._call(
            self._bulletins.Read, pb.ReadRequest(id=bulletin, originator=originator)
        )
        return answer

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
        self, bulletin: str, recipient: str, *, grant: bool, until: int = 0
    ) -> pb.ConsentResponse:
        """Grant or refuse what a peer has asked about its bulletin; refusing takes a grant back."""
        said = pb.ConsentAnswer(id=bulletin, recipient=recipient, grant=grant, until=until)
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
        self, bulletin: str, recipient: str = "", *, content: bool = False, slots: Sequence[int] = ()
    ) -> str:
        """A release with all that was signed and logged about it: the text of a file for others."""
        request = pb.ExportReleaseRequest(
            bulletin=bulletin, recipient=recipient, content=content, slots=slots
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

    def meet(self, bulletin: str, obligation: str) -> pb.ObligationEntry:
        """Say that an obligation is met."""
        said = pb.MeetRequest(id=bulletin, obligation=obligation)
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
        told = dict(error.trailing_metadata() or ())
        code = told.get(_CODE)
        if isinstance(code, str) and code:
            return _told(code, told.get(_DETAIL))
        place = Place(self._address)
        status, details = error.code(), str(error.details() or "")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            hint = "`intelshare status` shows whether the node is busy"
            return ConfigError("TIMED_OUT", "the node did not answer in time", place=place, hint=hint)
        if status is grpc.StatusCode.UNAVAILABLE and _refused(details):
            return ConfigError(
                "TLS_REFUSED",
                "one side does not accept the other's certificate",
                place=place,
                hint=f"{self.profile.certificate} may have expired, or be of another node: "
                "`intelshare doctor` looks; an operator gives a new one with `intelshare user renew`",
            )
        if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return ConfigError(
                "NODE_UNREACHABLE",
                "nobody answers",
                place=place,
                hint="start the node with `intelshare node run`, or look at the address in the profile",
            )
        return ConfigError(
            "INTERNAL", f"the node failed: {status.name}", place=place, hint="its log says more"
        )


def _told(code: str, detail: object) -> IntelshareError:
    try:
        known = json.loads(detail) if isinstance(detail, bytes) else {}
        place = Place(**known["place"]) if known.get("place") else None
        return DeliveryError(
            code, known.get("message") or "the node refuses", place=place, hint=known.get("hint")
        )
    except (ValueError, TypeError, AttributeError):
        return DeliveryError(code, "the node refuses")


def _refused(details: str) -> bool:
    """Whether the TLS handshake failed. A server that dislikes our certificate closes after it (TLS 1.3)."""
    return any(word in details.lower() for word in ("handshake", "certificate", "ssl", "socket closed"))


def _bytes(path: Any) -> bytes:
    try:
        return bytes(path.read_bytes())
    except OSError as error:
        raise ConfigError("NOT_FOUND", f"cannot be read: {error.strerror}", place=Place(str(path))) from None
