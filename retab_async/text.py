"""Log-safe text: server strings on one line, without terminal control characters."""


def single_line(text: str) -> str:
    """Replace line breaks, control characters and runs of blanks by single spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
