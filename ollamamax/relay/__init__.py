"""One request through to one node: connections, the coupling of client and node, and what the answer meant.

The order of the modules is the order of the data: `relay` (what is under way) and `carriage` (what is carried, what is
reported) use `crossing` (one request's way, with `reply`, `deadlines`, `headers`, `withheld` and `ending`), that uses
`client` (with `exchange`, `endpoints`, `pool`, `connection`, `upload`, `responses`, `wire` and `messages`). `framing`,
`tail`, `usage` and `verdict` read the bytes on their way; they, `headers`, `withheld` and `ending` are pure.
"""
