"""`python -m trainwright_operator`: runs the operator until it is told to stop."""

import logging
import sys
from importlib.metadata import PackageNotFoundError, version

import kopf

from trainwright_operator.handlers import Operator, build_registry
from trainwright_operator.settings import SettingsError, read_settings


def main() -> None:
    """Run the operator with the settings of the environment."""
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(str(error))
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("kopf.objects", "kopf._core", "urllib3", "kopf.activities"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    operator = Operator(settings, read_version())
    kopf.run(
        registry=build_registry(operator),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=list(settings.namespaces),
    )


def read_version() -> str:
    """Return the installed version; images that carry only the sources have none."""
    try:
        return version("trainwright")
    except PackageNotFoundError:
        return "source"


if __name__ == "__main__":
    main()
