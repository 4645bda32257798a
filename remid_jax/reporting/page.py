"""What all pages share: templates that escape every text, and a common style."""

from __future__ import annotations

from importlib import resources

import jinja2
from markupsafe import Markup, escape

from remid_jax.reporting.cells import DAGGER, Table


def template(name: str) -> jinja2.Template:
    """The template `name` of this folder; whole pages extend `page.html`. A variable that it is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda of: resources.files(__package__).joinpath(of).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    return environment.get_template(name)


def table_html(table: Table, heading: str) -> str:
    """Returns a table under a heading as a piece of HTML, for notebooks."""
    return template("table.html").render(table=table, heading=heading, dagger=DAGGER, figures={})
