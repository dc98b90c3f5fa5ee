"""A download that is killed, at any moment and as often as you like, ends with the same tree."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raw2logit.datasets.download import download_dataset

from .archives import below, pack_microscopy, tarred, zipped
from .server import Server, sums

COMMAND = [sys.executable, "-c", "import sys; from raw2logit.cli import main; sys.exit(main())"]


def test_at_every_change_of_the_file_system(root: Path, tmp_path: Path) -> None:
    images = root / "microscopy/images"
    some = dict(list(below(images / "raw_scale100", "raw_scale100/").items())[:2])
    labels = below(root / "microscopy/labels")
    files = {
        "a.zip": zipped({"inner.zip": zipped(some)}),
        "b.tar.gz": tarred(some | labels),
        "labels/Ma190c_annotations.dat": next(iter(labels.values())),
    }
    mirror = tmp_path / "mirror"
    for name, content in (files | {"SHA256SUMS": sums(files)}).items():
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(content)
    script = Path(__file__).with_name("kill_everywhere.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(mirror), str(tmp_path / "work")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 40


def kill_at_random(root: Path, folder: Path, kills: int) -> tuple[int, int]:
    """Kill the command `kills` times; return in how many data sets, and how often while unpacking.

    A killed command is repeated on the same data set. One that comes to its end is compared with an
    undisturbed one, and the next begins with nothing.
    """
    rng = random.Random(4)
    with Server() as server:
        address = server.publish_mirror(pack_microscopy(root))
        expected = below(download_dataset("microscopy", folder / "undisturbed", source=address))
        server.wait_s = 0.02
        data = folder / "data"
        words = ["data", "download", "microscopy", "--root", str(data), "--from", address]
        killed = completed = while_there = 0
        while killed < kills or data.exists():
            server.asked.clear()
            with subprocess.Popen(
                [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                # Its start takes long and does nothing. Where all is there, it asks nobody.
                while not server.asked.wait(0.01) and process.poll() is None:
                    pass
                if killed < kills:
                    time.sleep(rng.uniform(0, 0.3))
                    process.kill()
                code = process.wait(120)
            if code == -signal.SIGKILL:
                killed += 1
                while_there += (data / ".download-microscopy").is_dir()
                for name, content in below(data / "microscopy").items():
                    assert content == expected[name]
                continue
            assert code == 0
            assert below(data) == {f"microscopy/{name}": data for name, data in expected.items()}
            assert [path.name for path in data.iterdir()] == ["microscopy"]
            shutil.rmtree(data)
            completed += 1
    return completed, while_there


def test_three_times(root: Path, tmp_path: Path) -> None:
    completed, while_there = kill_at_random(root, tmp_path, 3)
    assert completed >= 1
    assert while_there >= 1


@pytest.mark.slow
def test_twenty_times(root: Path, tmp_path: Path) -> None:
    completed, while_there = kill_at_random(root, tmp_path, 20)
    print(
        f"20 kills, {while_there} in the middle of it; {completed} data sets completed, all equal"
    )
    assert completed >= 2
    assert while_there >= 10
