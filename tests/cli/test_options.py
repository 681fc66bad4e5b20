"""Options of every command compared with `options.txt`: names, types and defaults are a public interface."""

from importlib import import_module
from pathlib import Path

from sarcd_cli.main import COMMANDS

LEFT_OUT = ("name", "param_type", "case_sensitive", "file_okay", "readable")
LISTED = Path(__file__).with_name("options.txt")


def listed(name):
    """Return the options of a command as lines of name, type and default."""
    command = import_module(f"sarcd_cli.{name.replace('-', '_')}").command
    for option in [param.to_info_dict() for param in command.params]:
        taken = {key: value for key, value in option["type"].items() if key not in LEFT_OUT}
        taken = {key: value for key, value in taken.items() if value is not None and value is not False}
        kind = option["type"]["param_type"] + (f" {taken}" if taken else "")
        many = f", nargs={option['nargs']}" * (option["nargs"] != 1) + ", multiple" * option["multiple"]
        yield f"  {'/'.join(option['opts'] + option['secondary_opts'])}: {kind}{many} = {option['default']!r}"


def test_options_are_the_listed_ones():
    found = [line for name in COMMANDS for line in (name, *sorted(listed(name)))]
    assert found == LISTED.read_text(encoding="utf-8").splitlines()
