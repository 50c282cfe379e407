"""The embedded cluster's errors, each with the sentence a person needs.

ClusterError
├── UnsupportedMachineError   no root with its rights on Linux, or a package that is missing (exit code 3)
├── ClusterExistsError        another cluster of that name runs with other settings
├── BuildError                a tool of the build failed
├── ComponentDiedError        a process of the cluster ended; its log's tail is in the message
└── NotReadyError             a condition did not come true before its deadline
"""

from __future__ import annotations


class ClusterError(Exception):
    """What goes wrong with the embedded cluster; the command prints it without a traceback."""

    exit_code = 1


class UnsupportedMachineError(ClusterError):
    """This machine cannot run the cluster at all."""

    exit_code = 3


class ClusterExistsError(ClusterError):
    """A healthy cluster of this name runs with other settings."""


class BuildError(ClusterError):
    """A binary, image or manifest of the cluster could not be made."""


class ComponentDiedError(ClusterError):
    """A process of the cluster ended by itself."""


class NotReadyError(ClusterError):
    """A condition did not come true before its deadline."""
