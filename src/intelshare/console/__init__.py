"""The console: what a node does, as pages in a browser on the same machine, and nothing that could change it.

It stands on the client library with the rights of the user who started it (decision 54, docs/console.md):

guard      who may ask: loopback, Host, Origin, the one-time token, the cookie
pages      the fixed table of what is served as it lies here
nodes      the connections to the node, shared by all pages, which come back by themselves
feed       what happens, to every open page
documents  what each view shows, made of the client library's answers
web        the ASGI application
run        one console process
"""
