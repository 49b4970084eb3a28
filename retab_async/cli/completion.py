"""`retab-async completion SHELL`: prints the completion script of a shell.

The scripts know all commands and options, so that a TAB starts no Python; `tests/completion_scripts.py` writes them.
"""

from pathlib import Path

import click

_SCRIPTS = Path(__file__).with_name("completions")

_HELP = """Print the completion script of a shell.

\b
bash, with the package bash-completion:
  mkdir -p ~/.local/share/bash-completion/completions
  retab-async completion bash > ~/.local/share/bash-completion/completions/retab-async
\b
zsh, with `fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit` in ~/.zshrc:
  mkdir -p ~/.zfunc
  retab-async completion zsh > ~/.zfunc/_retab-async
\b
fish:
  mkdir -p ~/.config/fish/completions
  retab-async completion fish > ~/.config/fish/completions/retab-async.fish

Then open a new shell. Write it again after an upgrade."""


@click.command(help=_HELP, short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Print the script."""
    click.echo((_SCRIPTS / f"retab-async.{shell}").read_text(encoding="utf-8"), nl=False)
