"""A fake `libnvidia-ml.so.1` in C, built by the tests; its state is a text file that they change."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")


def build_fake_nvml(folder: Path) -> Path:
    """Compile the library into a folder and return its path; needs a C compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library
