"""Writes the chart's generated files; `--check` writes nothing and exits 1 if one differs.

`python -m tools.chart [--check]`; `make generate` and `make check` call it from the project's root.
"""

import argparse
import re
import sys
from pathlib import Path

from trainwright_operator.permissions import PERMISSIONS

from tools.chart.permissions import build_permissions_template
from tools.chart.render import build_values_schema, build_values_table, build_values_yaml

CHART = Path("helm/trainwright")
INSTALL_PAGE = Path("operator/docs/install.md")
_TABLE = re.compile(r"(<!-- values: begin[^>]*-->\n).*?(<!-- values: end -->)", re.DOTALL)


def build_files() -> dict[Path, str]:
    """The wanted content of every generated file."""
    return {
        CHART / "values.yaml": build_values_yaml(),
        CHART / "values.schema.json": build_values_schema(),
        CHART / "templates" / "_permissions.tpl": build_permissions_template(PERMISSIONS),
        INSTALL_PAGE: _page_with_table(INSTALL_PAGE.read_text(), build_values_table()),
    }


def _page_with_table(page: str, table: str) -> str:
    new, count = _TABLE.subn(lambda match: match[1] + table + match[2], page)
    if count != 1:
        raise ValueError(f"{INSTALL_PAGE}: expected one pair of `values: begin` and `values: end`")
    return new


def main() -> int:
    """Exit code: 1 if `--check` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m tools.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which files differ")
    check = parser.parse_args().check
    stale = [
        path
        for path, text in build_files().items()
        if not path.is_file() or path.read_text() != text
    ]
    for path in stale:
        if check:
            print(f"{path}: not up to date; run `make generate`", file=sys.stderr)
        else:
            path.write_text(build_files()[path])
            print(f"wrote {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
