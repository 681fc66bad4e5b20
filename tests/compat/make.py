"""Make the files of `tests/compat/v0_1_0`: output of sarcd 0.1.0 that later versions must read and resume.

    python -m tests.compat.make FOLDER

It was run once with sarcd 0.1.0 and its output was committed. It is kept as a record of how the files were made and
uses only the command line of that version; later versions cannot reproduce the files and must not try.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

SIDE, CHUNK = 64, 32
DAYS = ("20230319", "20230331", "20230412", "20230424")
TIME_NS = 1_700_000_000_000_000_000
SQUARES = ((6, 8, 20), (34, 38, 22))
PREDICT = ("--tiles", "32", "--device", "cpu")
TRAIN = ("--widths", "4,8", "--patch", "32", "--batch", "4", "--epochs", "4", "--device", "cpu", "--seed", "3")
SURE = ("--name", "sure", "--device", "cpu")
SETTINGS = ("--set", "checkpoint_seconds=0", "--set", "cache=memory", "--window", "5", "--learning-rate", "0.01")


def sarcd(*words):
    """Run a sarcd command to completion."""
    subprocess.run([sys.executable, "-m", "sarcd_cli.main", *map(str, words)], check=True)


def write_output(path, *words):
    """Write the output of a command as JSON."""
    command = [sys.executable, "-m", "sarcd_cli.main", *map(str, words), "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.write_text(printed.replace(f"{path.parent}/", ""))


def kill_once(seen, *words):
    """Run a command and kill it as soon as `seen` returns true."""
    process = subprocess.Popen([sys.executable, "-m", "sarcd_cli.main", *map(str, words)])
    while process.poll() is None and not seen():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        raise SystemExit(f"{words[0]} was done before it could be killed")


def settle(scene):
    """Set all files to one modification time, which training checks and version control does not keep."""
    for file in scene.rglob("*"):
        os.utime(file, ns=(TIME_NS, TIME_NS))


def write_images(folder):
    """Write four images of coherent speckle, and the change between the first and the second as labels."""
    rng = np.random.default_rng(0)

    def noise():
        return (rng.normal(size=(SIDE, SIDE)) + 1j * rng.normal(size=(SIDE, SIDE))) / np.sqrt(2)

    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "crs": "EPSG:32633"}
    profile |= {"transform": Affine(3, 0, 400_000, 0, -3, 5_000_000)}
    label = np.zeros((SIDE, SIDE), np.uint8)
    shared, images = noise(), []
    for number, day in enumerate(DAYS):
        if number in (1, 3):
            for y, x, side in SQUARES:
                shared[y : y + side, x : x + side] = 3 ** (2 - number) * noise()[y : y + side, x : x + side]
                label[y : y + side, x : x + side] = 1
        image = 0.95 * shared + np.sqrt(1 - 0.95**2) * noise()
        image *= np.where(np.arange(SIDE) < SIDE // 2, 1.0, 3.0)
        image[:3, :5] = 0
        images.append(folder / f"{day}.tif")
        with rasterio.open(images[-1], "w", dtype="complex64", **profile) as file:
            file.write(image.astype("complex64"), 1)
    with rasterio.open(folder / "label.tif", "w", dtype="uint8", **profile) as file:
        file.write(label, 1)
    return images


def write_model(path, name, scene, **widths):
    """Train a model for one epoch from random weights, with a complete model card."""
    settings = ["--model", name, "--patch", "32", "--batch", "8", "--epochs", "1", "--device", "cpu", "--window", "5"]
    sarcd("train", scene, "-o", path, *settings, *[word for pair in widths.items() for word in pair])
    shutil.rmtree(path.with_suffix(".run"))


def main(target):
    """Make all files."""
    target.mkdir(parents=True)
    images = write_images(target)
    scene = target / "scene.zarr"
    labels = [f"2023-03-19:2023-03-31={target / 'label.tif'}"]
    sarcd("ingest", *images[:3], "-o", scene, "--chunk", CHUNK, "--label", *labels, "--wavelength", "0.031")
    sarcd("stats", scene)
    sarcd("coherence", scene, "--window", "5")
    sarcd("train", scene, "-o", target / "unet.safetensors", *TRAIN, *SETTINGS)
    shutil.rmtree(target / "unet.run")
    write_model(target / "tinycd.safetensors", "tinycd", scene)

    half = target / "half.zarr"
    shutil.copytree(scene, half)
    sarcd("predict", scene, "--model", target / "unet.safetensors", *PREDICT, "--swap", "--uncertainty")
    sarcd("detect", scene, "--method", "ratio-test", "--name", "test", "--uncertainty")
    sarcd("detect", scene, "--method", "network", "--name", "network")
    sarcd("detect", scene, "--method", "log-ratio", "--name", "ratio")
    sarcd("pseudo-label", scene, "--model", target / "unet.safetensors", "--confidence", "0.5", "--share", "0.5", *SURE)
    sarcd("summarise", scene, "--of", "omnibus")

    made = half / "change_probability" / "c"
    kill_once(
        lambda: sum(1 for file in made.rglob("*") if file.is_file()) >= 3,
        *("predict", half, "--model", target / "unet.safetensors", *PREDICT),
    )
    shutil.rmtree(half / "slc")  # identical to the finished scene's, which a test copies here
    settle(scene)
    log = target / "stopped.run" / "log.jsonl"
    kill_once(
        lambda: log.exists() and log.read_text().count("\n") >= 2,
        *("train", scene, "-o", target / "stopped.safetensors", *TRAIN, *SETTINGS),
    )
    shutil.rmtree(target / "stopped.run" / "tensorboard", ignore_errors=True)
    sarcd("predict", scene, "--model", target / "tinycd.safetensors", "--device", "cpu", "--name", "tinycd")
    sarcd("simulate", target / "site.zarr", "--site", "B", "--size", "64", "--dates", "2", "--seed", "5")
    write_output(target / "info.json", "info", scene)
    write_output(target / "evaluate.json", "evaluate", scene, "--variable", "change_test")
    sarcd("export", scene, target / "changes.geojson", "--variable", "change_test")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
