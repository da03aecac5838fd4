"""One picture of many thumbnails, as they are stored in the database."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 12
CELL_PX = 128
CAPTION_PX = 30
GAP_PX = 6
PAPER, INK, FLAGGED = "white", "black", "#c22f2f"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One thumbnail (JPEG bytes) and its caption; a flagged one has a red frame."""

    overlay_jpeg: bytes
    caption: str
    note: str
    flagged: bool


def contact_sheet(cells: Sequence[Cell]) -> bytes:
    """PNG bytes of the cells, row by row."""
    rows = max(1, -(-len(cells) // COLUMNS))
    step_x, step_y = CELL_PX + GAP_PX, CELL_PX + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * step_x + GAP_PX, rows * step_y + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, cell in enumerate(cells):
        left = GAP_PX + index % COLUMNS * step_x
        top = GAP_PX + index // COLUMNS * step_y
        with Image.open(io.BytesIO(cell.overlay_jpeg)) as thumbnail:
            sheet.paste(thumbnail.resize((CELL_PX, CELL_PX)), (left, top))
        if cell.flagged:
            frame = (left - 2, top - 2, left + CELL_PX + 1, top + CELL_PX + 1)
            draw.rectangle(frame, outline=FLAGGED, width=3)
        draw.text((left + 2, top + CELL_PX + 1), cell.caption, INK, font)
        draw.text((left + 2, top + CELL_PX + 14), cell.note, FLAGGED if cell.flagged else INK, font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()
