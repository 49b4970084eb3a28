"""Writes the completion scripts of the command line: `python tests/completion_scripts.py`."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import click

from retab_async import cli
from retab_async.cli.groups import walk

SCRIPTS = Path(cli.__file__).with_name("completions")
FILES = "files"
HELP = "Show this message and exit."


class Option(NamedTuple):
    """An option: its names, its help, and what follows it: nothing (None), any text (""), files, or words."""

    names: tuple[str, ...]
    help: str
    value: str | None


class Command(NamedTuple):
    """A command: the words that lead to it, the commands below it with their help, its options."""

    words: str
    commands: dict[str, str]
    options: tuple[Option, ...]
    takes_files: bool


def commands() -> list[Command]:
    """Return all commands."""
    return [_command(" ".join(words), command) for words, command in walk(cli._root)]


def _command(words: str, command: click.Command) -> Command:
    below = {}
    if isinstance(command, click.Group):
        context = click.Context(command)
        found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
        below = {name: each.get_short_help_str(80) for name, each in found if each is not None}
    options = [_option(each) for each in command.params if isinstance(each, click.Option)]
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    takes_files = any(re.search(r"\bFILE\b", each.metavar or "") for each in arguments)
    shells = next((each.type.choices for each in arguments if isinstance(each.type, click.Choice)), ())
    help_option = Option(("--help", "-h"), HELP, None)
    return Command(words, below or dict.fromkeys(map(str, shells), ""), (*options, help_option), takes_files)


def _option(option: click.Option) -> Option:
    names = tuple(sorted((*option.opts, *option.secondary_opts), key=lambda name: (not name.startswith("--"), name)))
    return Option(names, (option.help or "").replace("\n", " "), _value(option))


def _value(option: click.Option) -> str | None:
    if option.is_flag or option.count:
        return None
    if isinstance(option.type, click.Choice):
        return " ".join(map(str, option.type.choices))
    is_file = isinstance(option.type, click.Path) or re.fullmatch(r"FILE|LIST|PATH\|(JSON|URL)", option.metavar or "")
    return FILES if is_file else ""


def _patterns_by_value(found: Iterable[Command]) -> dict[str, list[str]]:
    """Return what matches a command and an option that a value follows, by the kind of the value."""
    values: dict[str, dict[str | None, list[str]]] = {}
    for command in found:
        for option in command.options:
            for name in option.names:
                values.setdefault(name, {}).setdefault(option.value, []).append(command.words)
    by_value: dict[str, list[str]] = {}
    for name, places in sorted(values.items()):
        for value, words in places.items():
            exact = [quote(f" {each} {name}") for each in words]
            if value is not None:
                by_value.setdefault(value, []).extend([f'*" {name}"'] if len(places) == 1 else exact)
    return by_value


def _cases(found: Iterable[Command]) -> str:
    return " | ".join(quote(f" {command.words}") for command in found if command.words)


def _values_cases(found: list[Command], *, files: str, text: str, words: str) -> Iterator[str]:
    for value, patterns in _patterns_by_value(found).items():
        action = {FILES: files, "": text}.get(value, words.format(value))
        yield f"        {' | '.join(patterns)}) {action} ;;"


def bash() -> str:
    """Return the script for bash."""
    found = commands()
    details = []
    for command in found:
        options = " ".join(name for option in command.options for name in option.names)
        parts = [f'options="{options}"']
        parts += [f'commands="{" ".join(command.commands)}"'] if command.commands else []
        parts += ["files=1"] if command.takes_files else []
        details.append(f"        {_at(command.words)}) {'; '.join(parts)} ;;")
    values = _values_cases(
        found, files="compopt -o default; return", text="return", words='options="" commands="{}"; current_is_value=1'
    )
    return f"""# Completion of retab-async for bash; written by tests/completion_scripts.py.
_retab_async() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local at="" options="" commands="" files="" current_is_value="" i
    COMPREPLY=()
    # bash splits --name=value into three words.
    [[ $previous == "=" ]] && previous=${{COMP_WORDS[COMP_CWORD-2]}}
    [[ $current == "=" ]] && current=""
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${{COMP_WORDS[i-1]}}" in {_root_patterns(found)}) continue ;; esac
        case "$at ${{COMP_WORDS[i]}}" in
            {_cases(found)}) at+=" ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$at" in
{chr(10).join(details)}
    esac
    case "$at $previous" in
{chr(10).join(values)}
    esac
    if [[ $current == -* && -z $current_is_value ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ -n $commands ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$current"))
    elif [[ -n $files ]]; then
        compopt -o default
    fi
}}
complete -F _retab_async retab-async
"""


def zsh() -> str:
    """Return the script for zsh."""
    found = commands()
    details = []
    for command in found:
        parts = []
        if command.commands:
            parts.append(f"commands=({' '.join(_zsh_word(*each) for each in command.commands.items())})")
        parts += ["files=1"] if command.takes_files else []
        if parts:
            details.append(f"        {_at(command.words)}) {'; '.join(parts)} ;;")
    groups: dict[tuple[str, ...], list[Option]] = {}
    for option, places in _places(found).items():
        groups.setdefault(tuple(places), []).append(option)
    for where, options in groups.items():
        words = " ".join(_zsh_word(name, option.help) for option in options for name in option.names)
        pattern = " | ".join(map(_at, where)) if len(where) < len(found) else "*"
        details += ["    esac", '    case "$at" in', f"        {pattern}) options+=({words}) ;;"]
    values = _values_cases(found, files="_files; return", text="return", words="compadd -- {}; return")
    return f"""#compdef retab-async
# Completion of retab-async for zsh; written by tests/completion_scripts.py.
_retab-async() {{
    local at="" files="" i previous=${{words[CURRENT-1]}}
    local -a options commands
    # Of --name=value only the value is completed.
    [[ ${{words[CURRENT]}} == --*=* ]] && previous=${{words[CURRENT]%%=*}} && compset -P "*="
    for ((i = 2; i < CURRENT; i++)); do
        case "${{words[i-1]}}" in {_root_patterns(found)}) continue ;; esac
        case "$at ${{words[i]}}" in
            {_cases(found)}) at+=" ${{words[i]}}" ;;
        esac
    done
    case "$at $previous" in
{chr(10).join(values)}
    esac
    case "$at" in
{chr(10).join(details)}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then
        _describe -o option options
    elif (( $#commands )); then
        _describe command commands
    elif [[ -n $files ]]; then
        _files
    fi
}}
if [[ ${{funcstack[1]}} == _retab-async ]]; then _retab-async "$@"; else compdef _retab-async retab-async; fi
"""


def _at(words: str) -> str:
    return quote(f" {words}") if words else '""'


def _places(found: Iterable[Command]) -> dict[Option, list[str]]:
    """Return the commands that have each option."""
    places: dict[Option, list[str]] = {}
    for command in found:
        for option in command.options:
            places.setdefault(option, []).append(command.words)
    return places


def _root_patterns(found: Iterable[Command]) -> str:
    """Return what matches an option before the command that a value follows."""
    (root,) = (command for command in found if not command.words)
    return " | ".join(name for option in root.options if option.value is not None for name in option.names)


def _zsh_word(name: str, text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(":", "\\:")
    return quote(f"{name}:{escaped}" if text else name)


def fish() -> str:
    """Return the script for fish."""
    found = commands()
    lines = [
        f"complete -c retab-async {_fish_condition([command.words])} -a {name}{_fish_text(text)}"
        for command in found
        for name, text in command.commands.items()
    ]
    with_files = [command.words for command in found if command.takes_files]
    lines.append(f"complete -c retab-async {_fish_condition(with_files)} -F")
    for option, words in _places(found).items():
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
        value = {None: "", FILES: " -r -F", "": " -x"}.get(option.value, f" -x -a '{option.value}'")
        where = f"{_fish_condition(words)} " if len(words) < len(found) else ""
        lines.append(f"complete -c retab-async {where}{names}{value}{_fish_text(option.help)}")
    paths = " ".join(f"'{command.words}'" for command in found if command.words)
    return f"""# Completion of retab-async for fish; written by tests/completion_scripts.py.
function __retab_async_at
    set -l at
    set -l tokens (commandline -opc)
    set -l skip
    for token in $tokens[2..]
        if set -q skip[1]
            set -e skip
            continue
        end
        contains -- $token {_root_patterns(found).replace(" | ", " ")}; and set skip 1
        switch (string join " " -- $at $token)
            case {paths}
                set -a at $token
        end
    end
    contains -- (string join " " -- $at; or echo "") $argv
end
complete -c retab-async -f
{chr(10).join(lines)}
"""


def _fish_condition(places: Iterable[str]) -> str:
    words = " ".join(f'"{each}"' for each in places)
    return f"-n '__retab_async_at {words}'"


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f" -d '{escaped}'" if text else ""


def scripts() -> dict[str, str]:
    """Return the script of each shell."""
    return {"bash": bash(), "fish": fish(), "zsh": zsh()}


def main() -> None:
    """Write the scripts."""
    SCRIPTS.mkdir(exist_ok=True)
    for shell, script in scripts().items():
        (SCRIPTS / f"retab-async.{shell}").write_text(script)


if __name__ == "__main__":
    main()
