"""Text from elsewhere, as it can be shown to people: no command of the terminal's, no line break, nothing invisible."""

from unicodedata import category


def harmless(text: str) -> str:
    r"""Return a text with what is neither printable nor a blank written as its escape, such as `\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    # The blanks of all scripts are harmless, and some keyboards put them into filenames.
    is_harmless = letter.isprintable() or category(letter) == "Zs"
    return letter if is_harmless else letter.encode("unicode_escape").decode()
