"""The command `experiment`, its studies, and `experiment all`."""

import sys
from pathlib import Path

from ...errors import DataError, ZFNumpyError
from . import (
    ablation,
    analysis,
    architecture,
    common,
    correspondence,
    ensemble,
    evolution,
    generalization,
    invariance,
    localization,
)

STUDIES = (evolution, invariance, architecture, correspondence, ablation, generalization, analysis, localization, ensemble)
# What `all` hands on to every study that has it.
HANDED_ON = ("data", "checkpoint", "model", "classes", "val_fraction", "out", "seed", "jobs", "backend", "threads",
             "gpu_memory", "tf32", "debug")


def add_commands(group):
    """Add `experiment`; group(name, text, word) makes a command of commands and returns what adds each."""
    what = group("experiment", "Rerun a study of the ZFNet and CAM papers, on data that says whether it is right.", "STUDY")
    studies = {module.NAME: module.add_command(what) for module in STUDIES}
    sub = what("all", lambda args: run_all(args, studies), "Run every study with its default sizes, one after another.",
               "zfnumpy experiment all --out experiments")
    common.add_study(sub)
    common.add_jobs(sub)
    sub.add_argument("--again", action="store_true", help="also those whose results lie in --out already")


def run_all(args, studies):
    """Run the studies that the data allows; tell at the end which it did not, and why."""
    refused = {}
    for name, sub in studies.items():
        if Path(args.out, name, f"{name}.json").exists() and not args.again:
            print(f"{name}: done already; --again runs it anew")
            continue
        study = sub.parse_args([])
        for option in HANDED_ON:
            if hasattr(study, option):
                setattr(study, option, getattr(args, option))
        print(f"\n== {name}", flush=True)
        try:
            study.run(study)
        except ZFNumpyError as error:
            if args.debug:
                raise
            refused[name] = " ".join(str(error).split())
            print(f"passed over: {refused[name]}", file=sys.stderr, flush=True)
    if refused and len(refused) == len(studies):
        raise DataError(f"not one study could be run; {next(iter(refused))}: {next(iter(refused.values()))}")
    for name, why in refused.items():
        print(f"passed over {name}: {why}")
    return 0
