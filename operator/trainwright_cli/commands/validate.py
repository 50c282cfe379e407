"""`trainwright validate`: everything that is wrong with manifests, without a cluster."""

from typing import Any

import click

from trainwright_cli.errors import EXIT_CODES_HELP, ExitCode
from trainwright_cli.manifests import Checked, read_manifests
from trainwright_cli.options import files_option, output_option
from trainwright_cli.output import print_data


@click.command(epilog=EXIT_CODES_HELP)
@files_option
@output_option
def validate(filenames: tuple[str, ...], output: str) -> None:
    """Check manifests without a cluster.

    The rules are those of the API server. All problems are told at once, each with its line; the exit
    code is 2 if there is one.

    \b
    Example:
      trainwright validate -f run.yaml
      trainwright validate -f manifests/ -o json
    """
    checked = read_manifests(filenames)
    if output == "table":
        _print_lines(checked)
    else:
        print_data(_as_data(checked), output)
    if checked.findings:
        raise click.exceptions.Exit(ExitCode.INVALID)


def _print_lines(checked: Checked) -> None:
    for finding in checked.findings:
        click.echo(str(finding), err=True)
    invalid = {finding.source for finding in checked.findings}
    for document in checked.documents:
        if document.source not in invalid:
            metadata = document.manifest["metadata"]
            name = metadata.get("name") or f"{metadata['generateName']}*"
            click.echo(f"{document.source}: {document.manifest['kind']}/{name} is valid")
    if checked.num_skipped:
        click.echo(f"left out {checked.num_skipped} documents of other API groups", err=True)


def _as_data(checked: Checked) -> dict[str, Any]:
    return {
        "valid": not checked.findings,
        "documents": len(checked.documents),
        "leftOut": checked.num_skipped,
        "problems": [
            {
                "source": finding.source,
                "line": finding.problem.line,
                "path": finding.problem.path,
                "message": finding.problem.message,
            }
            for finding in checked.findings
        ],
    }
