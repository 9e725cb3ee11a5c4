"""An Ollama that needs no GPU: its API, framing, errors and scheduling, with tokens made up on the spot.

It stands alone: for development, for the tests' nodes, for benchmarks, and as the gateway's node where there is none.
The order of the files is the order of a request: `site`, `guard`, `routes`, a module of handlers, `json_requests`,
`inference`, `generation`, `runners`, `scheduler`, then the words of the API that was called. A compatible API's request
becomes the native one first, so that generation is told once. What the server holds stands beside it: `models`,
`registry`, `show`.
"""
