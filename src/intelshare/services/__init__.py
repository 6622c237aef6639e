"""The services that the node offers its users: they turn messages of user.proto into values, and back.

    table        every method's row: roles, and how it is carried out
    rpc          what a row may say
    dispatch     authorisation and the answer, from a row alone
    backend      what services need of the running node

One module for each service; ``drafts``, ``submit_many``, ``gather`` and ``watching`` belong to Bulletins.
"""

from intelshare.services.backend import (
    Backend,
    Bounds,
    BundleTaken,
    BundleWritten,
    ClockReading,
    Counts,
    FileFacts,
    HeldKey,
    Issued,
    LinkFacts,
    NodeFacts,
    OwnCertificate,
    PortFacts,
    SpentBudget,
    Uploading,
)
from intelshare.services.dispatch import answer, authorise
from intelshare.services.metrics import collect
from intelshare.services.operations import FOLDER_OWNER
from intelshare.services.rpc import DRAINING, EVERYBODY, OPERATORS, Rpc
from intelshare.services.table import BESIDE, SERVICES

__all__ = [
    "BESIDE",
    "DRAINING",
    "EVERYBODY",
    "FOLDER_OWNER",
    "OPERATORS",
    "SERVICES",
    "Backend",
    "Bounds",
    "BundleTaken",
    "BundleWritten",
    "ClockReading",
    "Counts",
    "FileFacts",
    "HeldKey",
    "Issued",
    "LinkFacts",
    "NodeFacts",
    "OwnCertificate",
    "PortFacts",
    "Rpc",
    "SpentBudget",
    "Uploading",
    "answer",
    "authorise",
    "collect",
]
