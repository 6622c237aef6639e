"""The gateway process: bulletins for tools of this member by TAXII 2.1, beside the node (docs/gateways.md).

It stands on the client library, as a user of the role gateway; starlette and uvicorn are an extra.
"""
