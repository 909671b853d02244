"""Workbooks (.xlsx) through calamine: sheet by sheet, a line per row."""

import datetime
import io

from understudy.retrieval.documents import Document
from understudy.retrieval.drafts import Draft
from understudy.retrieval.parse_flow import table_text


def sheets(content: bytes, _extension: str) -> Document:
    """Return the values of a workbook; pages are sheet numbers and each sheet's name is its heading."""
    import python_calamine

    draft = Draft()
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
        for number, name in enumerate(book.sheet_names, start=1):
            rows = table_text(
                [[_shown(cell) for cell in row] for row in book.get_sheet_by_index(number - 1).iter_rows()]
            )
            if rows:
                draft.page = number
                draft.head(1, name)
                draft.add(name)
                draft.add(rows)
    return draft.document("paged")


def _shown(cell: object) -> str:
    """Return a cell as a person sees it: whole numbers without a point, dates without an hour of zero."""
    match cell:
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime.datetime() if cell.time() == datetime.time():
            return str(cell.date())
        case _:
            return str(cell)
