"""The table of what a check script has measured, with the limits that were met or missed."""

from collections.abc import Mapping
from pathlib import Path

from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table


def limits_table(report: Mapping[str, float], limits: Mapping[str, tuple[float, str]]) -> tuple[str, int]:
    """Format the report; return it with the number of missed limits.

    A limit is a number and ``"at most"`` or ``"at least"``.
    """
    rows, missed = [], 0
    for name, value in report.items():
        verdict, limit = "", limits.get(name)
        if limit is not None:
            good = value <= limit[0] if limit[1] == "at most" else value >= limit[0]
            missed += not good
            verdict = f"{limit[1]} {limit[0]}: {'met' if good else 'MISSED'}"
        rows.append([name, f"{value:.4g}", verdict])
    return markdown_table(["what", "measured", "limit"], rows), missed


def end_with_limits(report: Mapping[str, float], limits: Mapping[str, tuple[float, str]], out: Path) -> None:
    """Print the table of a report, and write it to table.md in the folder ``out``; both as :func:`limits_table`.

    Raises:
        SystemExit: with code 1 if a limit is missed.
    """
    text, missed = limits_table(report, limits)
    write_complete(out / "table.md", text + "\n")
    print(text)
    if missed:
        raise SystemExit(f"{missed} limits missed")
