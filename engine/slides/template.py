"""What a PPTX deck is made on: 16:9 and one layout for each theme."""

from __future__ import annotations

import re
from typing import Any

from pptx import Presentation
from pptx.opc.constants import RELATIONSHIP_TYPE as RT
from pptx.oxml import parse_xml
from pptx.util import Pt

from engine.charts.picture import HEIGHT, WIDTH
from engine.charts.theme import PALETTE, PAPER
from engine.slides.fonts import TEXT
from engine.slides.render import LEFT, ROOM

TITLE_SIZES, TITLE_HEIGHT = (28, 26, 24, 22, 20), 78
CAPTION_SIZES, CAPTION_HEIGHT = (16, 15, 14, 13, 12), 48
TOP = 10
CAPTION = 13
"""The caption's placeholder in a layout."""
SPACES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
MAPPING = {
    "light": "<a:masterClrMapping/>",
    "dark": '<a:overrideClrMapping bg1="dk1" tx1="lt1" bg2="dk2" tx2="lt2" accent1="accent1" accent2="accent2" '
    'accent3="accent3" accent4="accent4" accent5="accent5" accent6="accent6" hlink="folHlink" folHlink="folHlink"/>',
}
BOX = (
    '<p:sp><p:nvSpPr><p:cNvPr id="{id}" name="{name}"/><p:cNvSpPr><a:spLocks noGrp="1"/></p:cNvSpPr>'
    "<p:nvPr><p:ph {kind}/></p:nvPr></p:nvSpPr>"
    '<p:spPr><a:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="{cx}" cy="{cy}"/></a:xfrm></p:spPr>'
    '<p:txBody><a:bodyPr lIns="0" tIns="0" rIns="0" bIns="0" anchor="t"><a:normAutofit/></a:bodyPr>'
    '<a:lstStyle><a:lvl1pPr marL="0" indent="0" algn="l"><a:lnSpc><a:spcPct val="90000"/></a:lnSpc>'
    '<a:spcBef><a:spcPts val="0"/></a:spcBef><a:buNone/><a:defRPr sz="{size}" b="{bold}">'
    '<a:solidFill><a:srgbClr val="{colour}"/></a:solidFill></a:defRPr></a:lvl1pPr></a:lstStyle>'
    '<a:p><a:r><a:rPr lang="en"/><a:t>{name}</a:t></a:r></a:p></p:txBody></p:sp>'
)
LAYOUT = (
    f'<p:cSld {SPACES} name="{{name}}">'
    '<p:bg><p:bgPr><a:solidFill><a:srgbClr val="{paper}"/></a:solidFill><a:effectLst/></p:bgPr></p:bg>'
    '<p:spTree><p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>{boxes}'
    "</p:spTree></p:cSld>"
)


def template() -> tuple[Any, dict[str, Any]]:
    """An empty presentation, and its layouts by theme: title, caption, and the theme's paper."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Pt(WIDTH), Pt(HEIGHT)
    del deck.element.sldSz.attrib["type"]
    kept = dict(zip(PAPER, (deck.slide_layouts[5], deck.slide_layouts[6]), strict=True))
    for layout in list(deck.slide_layouts):
        if layout not in kept.values():
            deck.slide_layouts.remove(layout)
    for theme, layout in kept.items():
        _lay_out(layout.element, theme)
    _widen(deck.slide_master)
    _colour(deck.slide_master.part.part_related_by(RT.THEME))
    _drop(deck.part, RT.PRINTER_SETTINGS, RT.VIEW_PROPS)
    _drop(deck.part.package, RT.EXTENDED_PROPERTIES, RT.THUMBNAIL)
    return deck, kept


def _lay_out(layout: Any, theme: str) -> None:
    """Replace what a layout shows."""
    ink, quiet = PALETTE[theme]["ink"][1:], PALETTE[theme]["quiet"][1:]
    title = {"id": 2, "name": "Title", "kind": 'type="title"', "bold": 1, "colour": ink}
    body = {"id": 3, "name": "Takeaway", "kind": f'type="body" idx="{CAPTION}"', "bold": 0, "colour": quiet}
    places = (
        (title, TITLE_SIZES[0], TOP, TITLE_HEIGHT),
        (body, CAPTION_SIZES[0], TOP + TITLE_HEIGHT, CAPTION_HEIGHT),
    )
    boxes = "".join(
        BOX.format(**box, size=size * 100, x=Pt(LEFT), y=Pt(y), cx=Pt(ROOM), cy=Pt(height))
        for box, size, y, height in places
    )
    layout.replace(layout.cSld, parse_xml(LAYOUT.format(name=f"Figure, {theme}", paper=PAPER[theme][1:], boxes=boxes)))
    del layout.attrib["type"]
    map_colours(layout, theme)


def map_colours(element: Any, theme: str) -> None:
    """Let a layout or a slide read the deck's colours as its theme does, also in what a user adds."""
    for old in element.findall("{*}clrMapOvr"):
        element.replace(old, parse_xml(f"<p:clrMapOvr {SPACES}>{MAPPING[theme]}</p:clrMapOvr>"))


def _widen(master: Any) -> None:
    """Scale the master from 4:3, and take the date, the footer and the number from it: no layout shows them."""
    for shape in list(master.placeholders):
        if shape.placeholder_format.idx > 1:
            shape.element.getparent().remove(shape.element)
        else:
            shape.left, shape.width = shape.left * 4 // 3, shape.width * 4 // 3


def _colour(theme: Any) -> None:
    """Give the deck the playground's colours and its font."""
    light, dark = PALETTE["light"], PALETTE["dark"]
    base = (PAPER["dark"], PAPER["light"], light["quiet"], dark["quiet"])
    accents = [light[name] for name in ("weight", "gradient", "none", "other", "class0", "class1")]
    names = ("dk1", "lt1", "dk2", "lt2", *(f"accent{n}" for n in range(1, 7)), "hlink", "folHlink")
    colours = zip(names, (*base, *accents, light["quiet"], dark["quiet"]), strict=True)
    scheme = "".join(f'<a:{name}><a:srgbClr val="{colour[1:]}"/></a:{name}>' for name, colour in colours)
    text = theme.blob.decode()
    text = re.sub(r"(<a:clrScheme name=)[^>]*>.*(?=</a:clrScheme>)", rf'\1"Weight decay">{scheme}', text, flags=re.S)
    font = f'<a:latin typeface="{TEXT.family}" panose="020B0503030403020204" pitchFamily="34" charset="0"/>'
    theme._blob = text.replace('<a:latin typeface="Calibri"/>', font).replace('"Office', '"Weight decay').encode()


def _drop(owner: Any, *kinds: str) -> None:
    """Remove parts that speak of another presentation."""
    rels = owner._rels
    for rel_id in [rel_id for rel_id, rel in rels.items() if rel.reltype in kinds]:
        rels.pop(rel_id)
