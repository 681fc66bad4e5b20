"""The command ``sarcd``: one small file per command, which parses, calls `sarcd` once and prints the result.

Nothing is imported here: `sarcd_cli.main` imports the file of a command when the command is run.
"""
