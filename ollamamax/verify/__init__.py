"""Does a running server keep what it promises about its metrics? `ollamamax verify URL` walks it from outside.

`walk` is the order; `checks` lists the promises, which `families`, `formats` and `traffic` look at; `exposition` reads
what was scraped; `server` is who is asked.
"""
