"""Sphinx: every warning is an error, every reference resolves."""

from importlib.metadata import version as installed

project = "Redpony"
author = "The Redpony developers"
copyright = "The Redpony developers"
version = release = installed("redpony")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    # Annotations of other projects, whose inventories we do not download.
    (
        "py:.*",
        r"(django|redis|asyncio|collections|datetime|opentelemetry|types|typing)\..*",
    ),
    # What annotations are made of, and what has no page.
    ("py:.*", r"(Any|Callable|Generator|Iterator|Mapping|Sequence|Iterable).*"),
    ("py:.*", r"(redpony\..*\.)?(Plan|[A-Z]|Argument|Reply|Outcome|Secret)(\[.*)?"),
]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "Redpony"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
