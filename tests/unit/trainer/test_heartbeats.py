"""What the ranks of a pod say of themselves, and when it does not count."""

import os
import subprocess
import sys
from pathlib import Path

from trainwright_trainer.heartbeats import Heartbeats


def test_heartbeats_of_an_earlier_process_do_not_count(tmp_path: Path) -> None:
    stale = Heartbeats(tmp_path, 0)
    stale.beat()
    os.utime(tmp_path / "heartbeats" / "0", (1, 1))
    ours = Heartbeats(tmp_path, 1)
    assert ours.read_ages() == {}
    ours.beat()
    assert list(ours.read_ages()) == [1]


def test_memory_is_told_by_rank_and_lasts_from_beat_to_beat(tmp_path: Path) -> None:
    ranks = [Heartbeats(tmp_path, rank) for rank in range(3)]
    for heartbeats in ranks:
        heartbeats.beat()
    for rank in (0, 2):
        ranks[rank].tell_memory({"allocated": 10 + rank, "peak": 20 + rank})
        ranks[rank].beat()
    assert ranks[0].read_memory() == {
        0: {"allocated": 10, "peak": 20},
        2: {"allocated": 12, "peak": 22},
    }
    assert sorted(ranks[0].read_ages()) == [0, 1, 2]
    ranks[2].rest()
    assert list(ranks[0].read_memory()) == [0]


def test_a_rank_whose_process_was_killed_has_no_memory(tmp_path: Path) -> None:
    ours = Heartbeats(tmp_path, 0)
    told = (
        "import sys; from pathlib import Path\n"
        "from trainwright_trainer.heartbeats import Heartbeats\n"
        "its = Heartbeats(Path(sys.argv[1]), 1)\n"
        "its.beat(); its.tell_memory({'allocated': 1})\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", told, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert ours.read_memory() == {1: {"allocated": 1}}
        process.kill()
    assert ours.read_memory() == {}
    assert list(ours.read_ages()) == [1]


def test_a_rank_at_rest_tells_no_memory(tmp_path: Path) -> None:
    ours = Heartbeats(tmp_path, 0)
    ours.tell_memory({"allocated": 1})
    assert ours.read_ages() == ours.read_memory() == {}
    ours.beat()
    assert ours.read_memory() == {}
    ours.tell_memory({"allocated": 1})
    assert ours.read_memory() == {0: {"allocated": 1}}


def test_a_full_disk_takes_the_figures_and_not_the_training(tmp_path: Path) -> None:
    ours = Heartbeats(tmp_path, 0)
    (tmp_path / "heartbeats").mkdir()
    (tmp_path / "heartbeats" / "0").symlink_to("/dev/full")
    ours.tell_memory({"allocated": 1})


def test_a_rank_at_rest_has_no_heartbeat(tmp_path: Path) -> None:
    ranks = [Heartbeats(tmp_path, rank) for rank in (0, 1)]
    for rank in ranks:
        rank.beat()
    ranks[1].rest()
    assert list(ranks[0].read_ages()) == [0]
    ranks[0].rest()
    ranks[0].rest()
    assert ranks[0].read_ages() == {}
