"""The command line as a whole: start-up, help, examples, exit codes."""

import resource
import shlex
import subprocess
import sys
import tomllib
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML
from trainwright_cli.__main__ import run
from trainwright_cli.app import COMMANDS, app
from trainwright_cli.errors import CliError, ExitCode
from trainwright_cli.output import a_console

from tests.unit.cli.manifests import a_training_run, call, command, invoke, write
from tools.machine import PROJECT

HEAVY = ("kubernetes", "boto3", "torch", "rich.live", "trainwright_api.resources", "jinja2")


def command_of(name: str) -> click.Command:
    found = app.get_command(click.Context(app), name)
    assert found is not None
    return found


def examples_of(found: click.Command) -> list[list[str]]:
    """Return the arguments of every line of a command's example, without redirections."""
    _, _, example = (found.help or "").partition("Example:\n")
    lines = [line.strip() for line in example.splitlines() if line.strip()]
    return [line.partition(">")[0].split()[1:] for line in lines if line.startswith("trainwright")]


def test_help_needs_less_than_four_tenths_of_a_second() -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime  # not the clock: others may use the machine too

    before = spent()
    subprocess.run(command("--help"), check=True, capture_output=True)
    assert spent() - before < 0.4


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from trainwright_cli.__main__ import run; run(['trainwright', '--help']);"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("LOADED []\n")


@pytest.mark.parametrize("name", ["status", "logs", "validate", "version"])
def test_a_commands_own_help_needs_no_cluster_client(name: str) -> None:
    script = (
        f"import sys; from trainwright_cli.__main__ import run; run(['x', {name!r}, '--help']);"
        "print('LOADED', [n for n in ('kubernetes', 'boto3', 'torch') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("LOADED []\n")


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_table_says_what_the_command_says(name: str, text: str) -> None:
    assert (command_of(name).help or "").splitlines()[0] == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_parses_and_lists_the_exit_codes(name: str) -> None:
    found = command_of(name)
    examples = examples_of(found)
    assert examples, "no example in the help"
    for arguments in examples:
        assert arguments[0] == name
        found.make_context(name, arguments[1:])
    shown = CliRunner().invoke(app, [name, "--help"])
    assert "Exit codes: 0 done" in shown.output


def test_both_programs_are_declared_and_start() -> None:
    declared = tomllib.loads(PROJECT.joinpath("pyproject.toml").read_text())["project"]["scripts"]
    for name in ("trainwright", "kubectl-trainwright"):
        assert declared[name] == "trainwright_cli.__main__:main"
        program = Path(sys.executable).with_name(name)
        done = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("trainwright ")


def test_as_a_kubectl_plugin_it_calls_itself_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["/usr/bin/kubectl-trainwright", "--help"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("Usage: kubectl trainwright ")


def test_kubectl_finds_it_as_a_plugin() -> None:
    folder = Path(sys.executable).parent
    done = subprocess.run(
        [folder / "kubectl", "trainwright", "--help"],
        env={"PATH": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Usage: kubectl trainwright ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], ExitCode.INVALID, "No such command 'nonsense'"),
        (["status", "--nonsense"], ExitCode.INVALID, "No such option"),
        (["run", "-f", "x.yaml"], ExitCode.INVALID, "add --local, or use `kubectl apply -f FILE`"),
        (["validate"], ExitCode.INVALID, "Missing option '-f'"),
        (["validate", "-f", "absent.yaml"], ExitCode.INVALID, "No such file or directory"),
        (["status", "UPPER"], ExitCode.INVALID, "got UPPER, expected NAME or KIND/NAME"),
        (["status", "pod/x"], ExitCode.INVALID, "got pod, expected TrainingRun (tr)"),
        (["status", "--kubeconfig", "/absent"], ExitCode.UNREACHABLE, "set KUBECONFIG"),
        (["checkpoints"], ExitCode.INVALID, "give either a run's NAME or --uri"),
        (["checkpoints", "--uri", "/absent/"], ExitCode.NOT_FOUND, "has no checkpoint"),
        (["logs", "x", "--pod", "a", "--rank", "1"], ExitCode.INVALID, "exclude each other"),
    ],
)
def test_errors_are_one_line_with_a_remedy_and_an_exit_code(
    arguments: list[str], code: ExitCode, said: str
) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_server_that_does_not_answer_is_unreachable(tmp_path: object) -> None:
    kubeconfig = f"{tmp_path}/kubeconfig"
    with open(kubeconfig, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(KUBECONFIG)
    done = call("status", "--kubeconfig", kubeconfig)
    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr.startswith("error: no answer from the cluster: ")
    assert done.stderr.count("\n") == 1


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {}}]
"""


def test_unexpected_errors_show_a_traceback_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(*arguments: object) -> None:
        raise KeyError("nobody expects this")

    monkeypatch.setattr("trainwright_cli.commands.version.print_data", explode)
    assert run(["trainwright", "version", "-o", "json"]) == ExitCode.FAILED
    assert "Traceback" not in (quiet := capsys.readouterr().err)
    assert "set TRAINWRIGHT_DEBUG=1" in quiet
    monkeypatch.setenv("TRAINWRIGHT_DEBUG", "1")
    run(["trainwright", "version", "-o", "json"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainwright_cli.commands.version.print_data", interrupt)
    assert run(["trainwright", "version", "-o", "json"]) == ExitCode.INTERRUPTED


def test_a_closed_pipe_is_no_error() -> None:
    line = f"{shlex.join(command('plan', '--help'))} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_table_into_a_closed_pipe_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_text: str) -> int:
        raise BrokenPipeError

    def show(*arguments: object) -> None:
        a_console().print("a table")

    monkeypatch.setattr("trainwright_cli.commands.version.print_data", show)
    # Both are closed at the end, and are pytest's.
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, StringIO())
    monkeypatch.setattr(sys.stdout, "write", write)
    assert run(["trainwright", "version", "-o", "json"]) == ExitCode.OK


def test_an_error_that_cannot_be_told_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_text: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", StringIO())
    monkeypatch.setattr(sys.stderr, "write", write)
    assert run(["trainwright", "validate", "-f", "/no/such/file"]) == ExitCode.INVALID


@pytest.mark.parametrize("words", [("compare", "a", "b"), ("report", "a")])
def test_a_page_is_not_written_into_a_file_called_json(words: tuple[str, ...]) -> None:
    done = invoke(*words, "-o", "json")
    assert done.exit_code == ExitCode.INVALID
    assert "got json, expected a file to write such as run.html; for data use" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = invoke("completion", shell)
    assert done.exit_code == 0
    assert "_TRAINWRIGHT_COMPLETE" in done.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [("trainwright st", "status"), ("trainwright status --out", "--output")],
)
def test_completion_completes_commands_and_options(words: str, expected: str) -> None:
    done = call(
        _TRAINWRIGHT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert f"plain,{expected}" in done.stdout.splitlines()


def test_version_prints_the_api_too() -> None:
    assert "trainwright.dev/v1alpha1" in invoke("version").output
    assert '"api": "trainwright.dev/v1alpha1"' in invoke("version", "-o", "json").output


def test_a_file_that_cannot_be_written_is_told_without_a_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "monitoring"
    assert run(["trainwright", "dashboards", "export", str(folder)]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/file")
    assert said.endswith(": Not a directory\n")


def test_error_classes_have_the_documented_codes() -> None:
    codes = {error.__name__: int(error.exit_code) for error in CliError.__subclasses__()}
    assert codes == {
        "InvalidManifestError": 2,
        "NotFoundError": 3,
        "UnreachableError": 4,
        "RunFailedError": 5,
        "InterruptedRunError": 130,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-w", "-o", "json"], "-o json prints the state once"),
        (["gpt", "-A"], "-A is for all runs; give -n NAMESPACE with a NAME"),
    ],
)
def test_options_of_status_that_exclude_each_other_are_refused(
    arguments: list[str], said: str
) -> None:
    done = invoke("status", *arguments)
    assert done.exit_code == ExitCode.INVALID
    assert said in done.output


LATIN = {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C.UTF-8"}


def test_a_terminal_without_unicode_gets_other_characters_and_no_error(tmp_path: Path) -> None:
    done = call("plan", "-f", write(tmp_path, a_training_run()), **LATIN)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert "???" in done.stdout, "the bars"


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data_for_machines_loses_no_character_there(tmp_path: Path, output: str) -> None:
    path = write(tmp_path, a_training_run(budget={"steps": 0}), name="größer ☃.yaml")
    done = call("validate", "-f", path, "-o", output, **LATIN)
    assert YAML(typ="safe").load(done.stdout)["problems"][0]["source"] == path
