# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of a node under its old name is its own under the new one. SQL alone: rollouts and
reservations are values of other rooms.
"""

from collections.abc import Iterator

_MEMBERS = """
    UPDATE rollout_members
    SET node = :new, body = CAST(json_set(CAST(body AS TEXT), '$.node', :new) AS BLOB)
    WHERE node = :old
"""
_LISTED = """
    UPDATE {table}
    SET body = CAST(json_set(CAST(body AS TEXT), '{path}', json((
        SELECT json_group_array(CASE value WHEN :old THEN :new ELSE value END)
        FROM json_each(CAST(body AS TEXT), '{path}')
    ))) AS BLOB)
    WHERE EXISTS (SELECT 1 FROM json_each(CAST(body AS TEXT), '{path}') WHERE value = :old)
"""
# Where names stand in lists.
_LISTS = (
    ("rollouts", "$.order.arm.nodes"),
    ("reservations", "$.order.arm.nodes"),
    ("reservations", "$.nodes"),
    ("reservations", "$.left"),
)


def statements() -> Iterator[str]:
    """To be executed with `old` and `new`, the names; deployments are the store's own."""
    yield "UPDATE nodes SET name = :new WHERE name = :old"
    yield "UPDATE events SET node = :new WHERE node = :old"
    yield _MEMBERS
    for table, path in _LISTS:
        yield _LISTED.format(table=table, path=path)
