"""The catalogue of figures, its table in the docs, and the page."""

from pathlib import Path

from anifacegan.evaluation.figures.catalogue import FIGURES, markdown_catalogue, write_page
from anifacegan.evaluation.figures.config import PageConfig
from tests.fixtures.one_line import assert_one_line

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_shows_the_figures_of_the_folder(tmp_path: Path) -> None:
    assert_one_line(lambda: write_page(PageConfig(tmp_path)), "holds no figures")
    (tmp_path / "driving.json").write_text(
        '{"files": ["driving.png", "driving.mp4"], "model": {"name": "<b>"}}'
    )
    page = write_page(PageConfig(tmp_path)).read_text()
    assert (
        '<img src="driving.png"' in page and '<video src="driving.mp4"' in page and "truncation" not in page
    )
    assert "&lt;b&gt;" in page and "<b>" not in page
    (tmp_path / "mesh.json").write_text("[]")
    assert_one_line(lambda: write_page(PageConfig(tmp_path)), "mesh.json", "not the record of a figure")


def test_a_table_of_figures_in_the_docs_is_that_of_the_catalogue() -> None:
    header, *rows = markdown_catalogue().splitlines()
    assert all(
        f"`{kind.name}`" in row and kind.caption in row for kind, row in zip(FIGURES, rows[1:], strict=True)
    )
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text()
        if header in text:
            assert markdown_catalogue().strip() in text, page
