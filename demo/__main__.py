"""The command: `python -m demo [run|down]`, told the rest by its environment (`demo.settings`).

Exit code 0 when both runs succeeded; 1 with the reason otherwise; 2 for wrong usage; 130 after Ctrl+C.
"""

import sys

from trainwright_cli.__main__ import show_what_the_terminal_can

from demo import current, local, story
from demo.alone import alone_on
from demo.console import Console
from demo.errors import DemoError, DemoStoppedError
from demo.settings import Settings, read_settings
from tests.cluster import ClusterError, down
from tests.cluster.spec import Layout
from tools.images.builders import BuildError
from tools.interrupts import INTERRUPTED
from tools.machine import describe_refusal, find_cluster_obstacle


def main(arguments: list[str]) -> int:
    """Run the demo where it can run, or take its cluster down."""
    show_what_the_terminal_can(sys.stdout, sys.stderr)
    console = Console()
    if arguments not in ([], ["run"], ["down"]):
        console.fail(
            f"got {' '.join(arguments)!r}, expected `python -m demo [run|down]`; all else is told as "
            "`make demo NAME=value`, see demo/settings.py"
        )
        return 2
    try:
        if arguments == ["down"]:
            return take_down(read_settings().cluster_name, console)
        return run(read_settings(), console)
    except DemoStoppedError as stop:
        console.fail(str(stop))
        return INTERRUPTED
    except (DemoError, BuildError, ClusterError) as problem:
        console.fail(str(problem))
        return 1
    except OSError as problem:
        console.fail(describe_refusal(problem))
        return 1
    except KeyboardInterrupt:
        console.fail("stopped; say `make demo-down` again to take down what is left")
        return INTERRUPTED


def run(settings: Settings, console: Console) -> int:
    """The demo on the cluster that the settings name, or without one."""
    if settings.current:
        return current.run_on_current_cluster(settings, console)
    if find_cluster_obstacle():
        return local.run_locally(settings, console)
    try:
        with alone_on(settings.cluster_name):
            return story.run_on_embedded_cluster(settings, console)
    except KeyboardInterrupt as stop:
        is_usual = settings.cluster_name == "demo"
        command = "make demo-down" + ("" if is_usual else f" DEMO_CLUSTER={settings.cluster_name}")
        raise DemoStoppedError(
            f"stopped; what runs on the cluster goes on (`{command}` ends it)"
        ) from stop


def take_down(cluster_name: str, console: Console) -> int:
    """End the embedded cluster; nothing of it stays."""
    obstacle = find_cluster_obstacle()
    if obstacle and Layout(cluster_name).root.exists():
        raise DemoError(f"the cluster {cluster_name!r} is there and cannot be ended: {obstacle}")
    if obstacle:
        console.say(f"nothing to take down: no cluster runs on this machine ({obstacle})")
        return 0
    was_there = down(cluster_name)
    console.say("the demo's cluster is gone" if was_there else "the demo's cluster was not there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
