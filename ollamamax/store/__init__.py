"""What remains when the process ends: the ledger of requests, the nodes and the models that were seen.

`store.Store` opens and closes it all, on the database that `place` finds; `ledger`, `inventory`, `statistics`,
`upgrade` and `failures` are what the other rooms speak to. Everything else is private to this room. It knows no
metrics: what it has to say about itself it says to `statistics.QueryObserver` and in `statistics.PoolStatistics`.
"""
