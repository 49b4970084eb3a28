"""What a server says, as it can be printed and logged: on one line, and nothing that a terminal obeys."""


def single_line(text: str) -> str:
    """Return what a server says as it can be printed and logged: no line breaks, no terminal's escapes."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
