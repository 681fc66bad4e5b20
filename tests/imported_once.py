"""Imports preloaded for the processes that tests fork; they start no threads, which a fork would lose."""

import sarcd_cli.main  # noqa: F401
