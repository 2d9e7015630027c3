"""Drawing: SVG elements whose text is always escaped and whose bytes are always the same.

A picture is drawn in user units about as wide as a phone; the page's style sheet gives its classes
their look. What is said by a colour is also said by a dash, a ring or a label.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup


def canvas(width: float, height: float, label: str) -> Element:
    """An empty picture; `label` is what a screen reader says."""
    box = f"0 0 {_number(width)} {_number(height)}"
    return Element("svg", {"viewBox": box, "role": "img", "aria-label": label})


def put(parent: Element, tag: str, text: str | None = None, /, **attributes: object) -> Element:
    """Add an element; `class_` and `text_anchor` become `class` and `text-anchor`."""
    child = SubElement(parent, tag)
    for key, value in attributes.items():
        plain = _number(value) if isinstance(value, float) else str(value)
        child.set(key.rstrip("_").replace("_", "-"), plain)
    child.text = text
    return child


def finish(picture: Element) -> Markup:
    """The picture as a piece of HTML."""
    return Markup(tostring(picture, encoding="unicode", short_empty_elements=True))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def clip(name: str, characters: int) -> str:
    """A name cut to so many characters; the cut is shown."""
    return name if len(name) <= characters else name[: characters - 1] + "…"
