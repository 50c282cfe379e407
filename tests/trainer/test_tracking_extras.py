"""Trackers are extras: never imported unless asked for, and named with the remedy if they are missing."""

import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api.run import Run
from trainwright_api.tracking import MLflowTracking, Tracking, WandbMode, WandbTracking
from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.tracking import check_trackers

from tests.ports import free_port
from tests.trainer.run_builder import build_run

MLFLOW = Tracking(mlflow=MLflowTracking(tracking_uri="http://127.0.0.1:9"))
OFFLINE = Tracking(wandb=WandbTracking(project="lab", mode=WandbMode.OFFLINE))
ONLINE = Tracking(wandb=WandbTracking(project="lab", credentials_secret="key"))
EXTRAS = ("mlflow", "wandb", "opentelemetry", "tensorboard")


def tracked(tracking: Tracking) -> Run:
    return build_run().model_copy(update={"tracking": tracking})


def test_a_run_that_asks_for_none_imports_none(tmp_path: Path) -> None:
    code = f"""
import sys
import trainwright_trainer.train
from pathlib import Path
from trainwright_trainer.distributed import join_group
from trainwright_trainer.settings import Settings
from trainwright_trainer.tracking import check_trackers
from trainwright_trainer.tracking.trackers import build_sinks
from tests.trainer.tracking_builder import build_beginning
beginning = build_beginning(Path(sys.argv[1]))
join_group(beginning.run, Settings(master_port=int(sys.argv[2])))
check_trackers(beginning.run, Settings())
(tensorboard,) = build_sinks(beginning.run, beginning)
tensorboard.open()
print([name for name in {EXTRAS} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(free_port())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tracking", "module"), [(MLFLOW, "mlflow"), (OFFLINE, "wandb")], ids=["mlflow", "wandb"]
)
def test_one_that_is_not_installed_is_the_users_to_mend(
    tracking: Tracking, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    with pytest.raises(UserError) as caught:
        check_trackers(tracked(tracking), Settings())
    text = caught.value.message
    assert text.startswith(f"spec.tracking.{module}: got an environment without {module} ")
    assert "use an image built with --build-arg LOCK=trackers" in text
    assert f"pip install '.[trainer,{module}]' in Trainwright's source" in text


def test_a_secret_without_the_key_is_the_users_to_mend(tmp_path: Path) -> None:
    settings = Settings(credentials_folder=tmp_path)
    check_trackers(tracked(ONLINE), settings)  # none mounted, as on a laptop: W&B's own places
    (tmp_path / "key").mkdir()
    with pytest.raises(
        UserError, match=r"spec\.tracking\.wandb\.credentialsSecret: got key without WANDB_API_KEY"
    ):
        check_trackers(tracked(ONLINE), settings)
    (tmp_path / "key" / "WANDB_API_KEY").write_text("a-key")
    check_trackers(tracked(ONLINE), settings)
