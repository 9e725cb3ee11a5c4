"""One request through to one node: connections, the coupling of client and node, and what the answer meant.

The order of the modules is the order of the data: `relay` (what is under way) and `carriage` (what is carried, what is
reported) use `crossing` (one request's way, with `reply`, `deadlines`, `headers`, `withheld` and `ending`), that uses
`client` (with `exchange`, `endpoints`, `pool`, `connection`, `upload`, `responses`, `wire` and `messages`). `passage`
says which bytes go on and has them read: cut by `framing`, `events`, `tail` and `raw_json`, changed by `usage_removal`,
judged by `verdict` and its kin. It and all that it uses, `headers`, `withheld` and `ending` are pure.
"""
