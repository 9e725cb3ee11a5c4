"""One file per revision, named after it and what it does."""
