"""The command ``sarcd``: one small file per command, which parses, makes one call into `sarcd` and prints its result.

Nothing is imported here: `sarcd_cli.main` loads a command's file when that command is run.
"""
