"""An Ollama that needs no GPU: its API, framing, errors and scheduling, with tokens made up on the spot.

It stands alone: for development, for the tests' nodes, for benchmarks, and as the gateway's node where there is none.
The order of the files is the order of a request: `site`, `guard`, `routes`, `json_requests`, `inference`, `scheduler`,
`runners`, `generation`, `answers`; beside them what the server holds: `models`, `registry`, `transfers`, `show`.
"""
