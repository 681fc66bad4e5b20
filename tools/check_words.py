"""Check that banned words do not return to the code: ``python tools/check_words.py``.

Each word of sarcd's former private vocabulary is mapped to the term that the field uses.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WORDS = {
    r"mends?": "hint",
    r"half[- ]made": "incomplete",
    r"(?:network|model) that ships": "pretrained network, pretrained model",
    r"goes on where it (?:was|is)": "resumes",
    r"labels by people": "manual labels",
    r"stirs?": "shuffle",
    r"drop_at": "lr_milestone",
    r"cache_folder": "cache_dir",
    r"drop_small": "remove_small_objects",
    r"fill_small": "remove_small_holes",
    r"unjudged(?:_\w+)?": "masked",
    r"sureness": "certainty",
    r"on the average": "on average",
    r"turn(?:s|ed)? round": "flipped",
    r"even ground": "homogeneous area",
    r"promise[sd]?": "the plain statement",
    r"knobs?": "option",
    r"reckon(?:s|ed)?": "estimate, compute",
    r"so manieth": "n-th",
}
IN_PAGES = {
    r"learnt": "trained",
    r"judge[sd]?|judging": "evaluate",
    r"brightness": "intensity, backscatter or amplitude",
    r"detected images?": "amplitude images",
    r"in the mean": "on average",
    r"(?:came|comes?) back": "reverted",
    r"trunks?": "backbone",
    r"lost coherence": "loss of coherence",
    r"doubt": "uncertainty",
    r"claimed": "flagged, detected",
    r"nobody": "the plain statement",
    r"as a rule": "usually",
    r"share of": "fraction of",
    r"anew": "again",
    r"a square kilometre": "per square kilometre",
    r"one less": "one minus",
}
"""Words banned from documentation and examples only, because the code still uses them."""

STORED = ("sarcd/config/renamed.py", "sarcd/change/postprocessing.py", "tests/compat/", "tests/change/", "CHANGELOG.md")
"""Files and folders that need names stored by earlier versions, and are not checked."""


def main() -> int:
    """Print each line that contains a banned word; return 1 if there is any, else 0."""
    root = Path(__file__).resolve().parents[1]
    listed = subprocess.run(["git", "ls-files", "*.py", "*.md"], cwd=root, check=True, capture_output=True, text=True)
    found = 0
    for name in listed.stdout.split():
        if name.startswith(("tools/", *STORED)):
            continue
        words = WORDS | IN_PAGES if name.endswith(".md") or name.startswith("examples/") else WORDS
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
            for word, instead in words.items():
                if re.search(rf"(?<!\w){word}(?!\w)", line, re.IGNORECASE):
                    print(f"{name}:{number}: say {instead}: {line.strip()[:100]}")
                    found += 1
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
