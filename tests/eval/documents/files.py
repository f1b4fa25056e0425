"""Real documents, written by other libraries than those that read them."""

from __future__ import annotations

import io
from pathlib import Path

import docx
import fpdf
import pytest

FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
"""A font with Chinese characters, where there is one."""


def word(file: Path) -> None:
    """A manual with a title, headings, a list, a table and a picture's caption."""
    document = docx.Document()
    document.add_heading("Lumos 台灯手册", 0)
    document.add_heading("充电", 1)
    document.add_paragraph("充电请使用 65W 的充电器，充满约需 1.5 小时。")
    document.add_heading("步骤", 2)
    document.add_paragraph("插上电缆。", style="List Bullet")
    document.add_paragraph("等待指示灯变绿。", style="List Bullet")
    document.add_heading("规格", 1)
    table = document.add_table(rows=2, cols=3)
    for row, cells in zip(table.rows, (("型号", "功率", "质保"), ("L1", "12 W", "两年")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.save(str(file))


def pdf(file: Path, pages: list[list[str]], *, chinese: bool = False, outline: bool = True) -> None:
    """Pages of lines, with a running head and page numbers; the first line of a page is a heading.

    Headings are those of the file's outline, or, without one, only set in larger letters.
    """
    if chinese and not FONT.is_file():
        pytest.skip("no font with Chinese characters is installed")

    class Manual(fpdf.FPDF):
        def header(self) -> None:
            self.cell(0, 8, "Lumos manual", new_x="LMARGIN", new_y="NEXT")

        def footer(self) -> None:
            self.set_y(-15)
            self.cell(0, 8, f"page {self.page_no()}")

    made = Manual()
    if chinese:
        made.add_font("wqy", fname=str(FONT))
    made.set_font("wqy" if chinese else "helvetica", size=12)
    for lines in pages:
        made.add_page()
        if outline:
            made.start_section(lines[0])
        for number, line in enumerate(lines):
            made.set_font_size(12 if number or outline else 18)
            made.cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
            made.set_font_size(12)
    made.output(str(file))


def glyphs(file: Path, texts: list[str], encoding: str = "/Identity-H") -> None:
    """A page in a font of two bytes a letter without a table of letters; each text is drawn as these bytes in hex."""
    drawn = "".join(f"BT /F1 12 Tf 72 {700 - 20 * number} Td <{text}> Tj ET\n" for number, text in enumerate(texts))
    glyph_font = "<</Type/Font/Subtype/CIDFontType2/BaseFont/Song>>"
    font = f"<</Type/Font/Subtype/Type0/BaseFont/Song/Encoding{encoding}/DescendantFonts[{glyph_font}]>>"
    body = (
        "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>> >> >>",
        f"<</Length {len(drawn)}>>\nstream\n{drawn}endstream", font,
    )  # fmt: skip
    objects = "".join(f"{number} 0 obj\n{one}\nendobj\n" for number, one in enumerate(body, 1))
    file.write_text(f"%PDF-1.7\n{objects}trailer\n<</Root 1 0 R/Size 6>>\nstartxref\n0\n%%EOF\n")


def locked(file: Path, password: str) -> None:
    """A page that is encrypted; with an empty password anyone may read it."""
    made = fpdf.FPDF()
    made.set_encryption(owner_password="owner", user_password=password, encryption_method="AES-256")
    made.add_page()
    made.set_font("helvetica", size=12)
    made.cell(0, 8, "The lamp charges for two hours on its cable.")
    made.output(str(file))


def scanned(file: Path, pages: int = 2) -> None:
    """A PDF whose pages are pictures."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (60, 80), "white").save(picture, "PNG")
    made = fpdf.FPDF()
    for _ in range(pages):
        made.add_page()
        made.image(picture, x=0, y=0, w=100)
    made.output(str(file))
