"""Formula quoting: CSV cells that no spreadsheet runs as a formula."""

import re

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NEGATIVE_NUMBER = re.compile(r"-\d[\d.,]*")


def quote_formula(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula; a quoted cell and a negative number stay as they are."""
    is_formula = cell.startswith(_FORMULA_STARTS) and not _NEGATIVE_NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unquote_formula(cell: str) -> str:
    """Return the cell that `quote_formula` quoted."""
    return cell[1:] if cell.startswith("'") and quote_formula(cell[1:]) == cell else cell
