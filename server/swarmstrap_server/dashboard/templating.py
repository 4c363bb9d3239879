# SPDX-License-Identifier: GPL-2.0-or-later
"""Templates to text, everything in them escaped. What is written here and not asked for fails."""

import time
from functools import cache
from pathlib import Path

import jinja2

from swarmstrap.limits import Limit
from swarmstrap.units import human
from swarmstrap_server.times import time_of_day

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, /, **values: object) -> str:
    """`template` is the name of a file in templates/."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        clock=time_of_day,
        date=date,
        duration=duration,
        human=lambda size: human(int(size)),
        share=share,
        times=times,
    )
    return environment


def date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def duration(seconds: float) -> str:
    """As short as a table wants it: 4.2 s, 38 s, 4:07, 1:02:09."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def share(part: float) -> str:
    """In per cent; what is not all of it does not look as if it were."""
    return f"{part:.1%}" if 0.99 < part < 1.0 else f"{part:.0%}"


def times(limit: Limit | None) -> str:
    """How near a fetch came to what binds it, as 1.01 × node link."""
    if limit is None:
        return "–"
    return f"{'~' if limit.estimated else ''}{limit.ratio:.2f} × {limit.resource}"
