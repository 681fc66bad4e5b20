"""The paper's study on simulated mines: the contribution of coherence, augmentation, pseudo-labels and the network.

``python examples/study [FOLDER] [--tables 5,6,A1,A2,normalisation,prediction] [--jobs 2]``

A network is trained on site A or B and evaluated on the other one, and on C. Each row of a table is one file of
``configs/``, which ``sarcd train --config`` also reads. If it is interrupted, the same command resumes. There are two
scales: ``cpu`` takes some hours on two cores; ``paper`` has the paper's sizes of sites, patches, batches and epochs,
for a GPU.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from runs import FOLDS, SCALES, TEST, Run, Study, measure, together
from scipy.stats import t as student

from sarcd.config import PseudoOptions

STEPS = ("amplitudes", "coherence", "augmentation", "pseudo-labels")
NETWORKS = ("augmentation", "siamese-unet", "tinycd", "changerex")
AUGMENTATIONS = ("coherence", "flip_azimuth", "flip_range", "shear", "swap_dates", "scale_coherence")
NORMALISED = {"its own": "plain", "of the training site": "training-statistics", "its own, AdaBN": "adapt"}
AVERAGED = {"plain": "plain", "dates swapped": "swap", "flipped": "flips"}
ONE_FOLD = "B"
"""Training site of tables A1 and A2 at scale ``cpu``."""


def spread(values: list[float]) -> str:
    """Return mean and standard deviation as text."""
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def difference(one: list[float], other: list[float]) -> str:
    """Return the mean difference paired by seed, with its 95 % interval by Student's t."""
    found = np.subtract(one, other)
    if len(found) < 2:
        return f"{found.mean():+.3f}"
    half = student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found))
    low, high = found.mean() - half, found.mean() + half
    return f"{found.mean():+.3f} [{low:+.3f}, {high:+.3f}]" + (" *" if low > 0 or high < 0 else "")


def table(title: str, columns: list[str], rows: Iterable[tuple[str, list[str]]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for name, cells in rows:
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


class Tables:
    """The tables; each one computes its own scores."""

    def __init__(self, study: Study, seeds: int, jobs: int, *, one_fold: bool) -> None:
        self.study, self.seeds, self.jobs, self.one_fold = study, range(seeds), jobs, one_fold

    def runs(self, rows: Iterable[str], *, table: str = "") -> dict[tuple[str, str], list[Run]]:
        """Return the runs by row and training site; a table of one fold has one site."""
        sites = [site for site, _ in FOLDS if not table or site == ONE_FOLD]
        return {
            (row, site): [Run(self.study, row, site, seed, table) for seed in self.seeds]
            for row in rows
            for site in sites
        }

    def scores(
        self, runs: dict[tuple[str, str], list[Run]], score: Callable[[Run], float], *variants: str
    ) -> dict[tuple[str, str], list[float]]:
        """Compute the scores, and return one for each seed."""
        measure(
            [(run, variant) for several in runs.values() for run in several for variant in variants or ("plain",)],
            self.jobs,
        )
        return {key: [score(run) for run in several] for key, several in runs.items()}

    def steps(
        self,
        title: str,
        rows: tuple[str, ...],
        score: Callable[[Run], float],
        *,
        of_one_fold: str = "",
        against_first: bool = False,
    ) -> None:
        """Print a score by row, and its difference from the row above or from the first."""
        runs = self.runs(rows, table=of_one_fold)
        found = self.scores(runs, score)
        sites = list(dict.fromkeys(site for _, site in runs))
        columns = [text for site in sites for text in (f"trained on {site}", "difference")]
        lines = []
        for number, row in enumerate(rows):
            cells = []
            for site in sites:
                other = rows[0 if against_first else max(number - 1, 0)]
                cells += [
                    spread(found[row, site]),
                    difference(found[row, site], found[other, site]) if number else "",
                ]
            lines.append((row, cells))
        table(title, columns, lines)

    def table_5(self) -> None:
        """Print the contribution of each step on the site on which choices may have been made."""
        self.steps("Table 5: F1 on the other site", STEPS, lambda run: run.scores()[run.evaluated_on]["f1"])
        lines = []
        for row in ("augmentation", "pseudo-labels"):
            several = [self.runs([row])[row, site][0].scores() for site, _ in FOLDS]
            lines.append(
                (row, [f"{one['patches']} ({one['changed_patches']}, {one['pseudo_patches']})" for one in several])
            )
        table(
            "Training patches (with change, with pseudo-labels), seed 0",
            [f"trained on {site}" for site, _ in FOLDS],
            lines,
        )

    def table_6(self) -> None:
        """Print the same on the test site, on which no choice was made."""
        self.steps(f"Table 6: F1 on the test site {TEST}", STEPS, lambda run: run.scores()[TEST]["f1"])

    def table_a1(self) -> None:
        """Print the scores of other networks with augmentation."""
        self.steps(
            "Table A1: F1 on the other site, by network",
            NETWORKS,
            self._other,
            of_one_fold="A1" * self.one_fold,
            against_first=True,
        )

    def table_a2(self) -> None:
        """Print the contribution of each augmentation."""
        self.steps(
            "Table A2: F1 on the other site, single augmentations",
            AUGMENTATIONS,
            self._other,
            of_one_fold="A2" * self.one_fold,
            against_first=True,
        )

    @staticmethod
    def _other(run: Run) -> float:
        return float(run.scores()[run.evaluated_on]["f1"])

    def variants(self, title: str, variants: dict[str, str]) -> None:
        """Print the scores of variants of prediction, with the networks with augmentation."""
        runs = self.runs(["augmentation"])
        self.scores(runs, lambda run: 0.0, *variants.values())
        columns = [
            text for start, other in FOLDS for site in (other, TEST) for text in (f"{start} to {site}", "difference")
        ]
        lines = []
        for name, variant in variants.items():
            cells = []
            for (_, start), several in runs.items():
                for site in (dict(FOLDS)[start], TEST):
                    found = [run.scores(variant)[site]["f1"] for run in several]
                    plain = [run.scores()[site]["f1"] for run in several]
                    cells += [spread(found), difference(found, plain) if variant != "plain" else ""]
            lines.append((name, cells))
        table(title, columns, lines)

    def table_normalisation(self) -> None:
        """Print the scores by the statistics that normalise an unseen site."""
        self.variants("F1 by the median and MAD that normalise the unseen site", NORMALISED)

    def table_prediction(self) -> None:
        """Print the effect of test-time augmentation, ensembles and calibration."""
        self.variants("F1 by test-time augmentation", AVERAGED)
        runs = self.runs(["augmentation"])
        folds = [(several, site) for (_, start), several in runs.items() for site in (dict(FOLDS)[start], TEST)]
        columns = [f"{several[0].trained_on} to {site}" for several, site in folds]
        cells = [f"{together(several)[site]['f1']:.3f}" for several, site in folds]
        table("F1 of the ensemble of all seeds", columns, [("ensemble", cells)])
        lines = []
        for name, key in (
            ("without temperature scaling", "ece_raw"),
            ("temperature from another mine of the training kind", "ece"),
        ):
            lines.append((name, [spread([run.scores()[site][key] for run in several]) for several, site in folds]))
        table("Expected calibration error", columns, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="study", type=Path, help="output directory")
    parser.add_argument("--tables", default="5,6,A1,A2,normalisation,prediction")
    parser.add_argument("--scale", default="cpu", choices=sorted(SCALES))
    parser.add_argument("--seeds", default=3, type=int)
    parser.add_argument(
        "--jobs", default=1, type=int, help="networks trained at a time, with one thread each if several"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="of the training, instead of that in the files; bfloat16 is faster on processors that have it",
    )
    parser.add_argument("--trial", action="store_true", help="tiny sites and two epochs, as a test")
    arguments = parser.parse_args()
    started = time.monotonic()
    scale = SCALES[arguments.scale]
    if arguments.trial:
        pseudo = PseudoOptions(confidence=0.5, min_confident=0)  # untrained networks have little confidence
        sizes, few = dict.fromkeys("ABC", (256, 256)), {"A": 2, "B": 2}
        scale = replace(scale, sizes=sizes, epochs=few, again=few, one_fold={}, options={"pseudo": pseudo})
    if arguments.precision:
        scale = replace(scale, options=scale.options | {"precision": arguments.precision})
    study = Study(arguments.folder, scale)
    study.open()
    for name in ("A", "B", "C", "A-val", "B-val"):
        study.make(name)
    tables = Tables(study, arguments.seeds, arguments.jobs, one_fold=arguments.scale == "cpu")
    for name in arguments.tables.split(","):
        getattr(tables, f"table_{name.lower()}")()
        print(f"\n{(time.monotonic() - started) / 60:.0f} minutes in this run", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
