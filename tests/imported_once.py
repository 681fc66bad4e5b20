"""What the processes that tests fork have imported already; imports start no threads, which a fork would lose."""

import sarcd_cli.main  # noqa: F401
