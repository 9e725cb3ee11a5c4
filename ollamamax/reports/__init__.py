"""What a running server's ledger tells, for people and programs at a terminal.

`asking` puts the question, `requests` and `usage` print the answers, `tables` and `words` say how.
"""
