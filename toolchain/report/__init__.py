"""One Report of a folder -> text, JSON or HTML."""
