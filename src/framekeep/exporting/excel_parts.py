"""What every Excel file of one sheet has in common: the package's fixed parts, and the sheet's frame.

ECMA-376 says what they mean. The styles of cells are numbered by their place in ``cellXfs``.
"""

from __future__ import annotations

from typing import Final

DAY: Final = 1
INSTANT: Final = 2
INSTANT_MS: Final = 3
DURATION: Final = 4
DURATION_MS: Final = 5

SHEET: Final = "xl/worksheets/sheet1.xml"

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"

FIXED: Final[dict[str, str]] = {
    "[Content_Types].xml": f"""{_XML}<Types xmlns="{_PACKAGE}/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="xml" ContentType="application/xml"/>\
<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>\
<Override PartName="/{SHEET}" ContentType="{_TYPE}.worksheet+xml"/>\
<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>\
</Types>""",
    "_rels/.rels": f"""{_XML}<Relationships xmlns="{_PACKAGE}/relationships">\
<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>\
</Relationships>""",
    "xl/workbook.xml": f"""{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">\
<sheets><sheet name="Data" sheetId="1" r:id="rId1"/></sheets>\
</workbook>""",
    "xl/_rels/workbook.xml.rels": f"""{_XML}<Relationships xmlns="{_PACKAGE}/relationships">\
<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>\
<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/>\
</Relationships>""",
    "xl/styles.xml": f"""{_XML}<styleSheet xmlns="{_MAIN}">\
<numFmts count="5">\
<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>\
<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>\
<numFmt numFmtId="166" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss.000"/>\
<numFmt numFmtId="167" formatCode="[h]:mm:ss"/>\
<numFmt numFmtId="168" formatCode="[h]:mm:ss.000"/>\
</numFmts>\
<fonts count="1"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font></fonts>\
<fills count="2"><fill><patternFill patternType="none"/></fill>\
<fill><patternFill patternType="gray125"/></fill></fills>\
<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>\
<cellXfs count="6">\
<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>\
<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="166" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="167" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="168" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
</cellXfs>\
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>\
</styleSheet>""",
}

SHEET_OPENS: Final = f'{_XML}<worksheet xmlns="{_MAIN}"><dimension ref="A1:{{last}}"/><sheetData>'
SHEET_CLOSES: Final = "</sheetData></worksheet>"
