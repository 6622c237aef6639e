"""Runs fuzz targets: `make fuzz TARGET=frame RUNS=1000000`.

With atheris (the extra ``fuzz``) inputs follow what the code covers; without it a seeded mutator makes them.
What is found is written into the corpus, where every run of the tests meets it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent / "corpus"


@dataclass(slots=True)
class Figures:
    """What a run came to."""

    inputs: int = 0
    slowest: float = 0.0
    """Seconds of processor time."""


def check(target: object, data: bytes, figures: Figures, patience: float = 1.0) -> None:
    """One input. Raises what the target raises; AssertionError for one that takes too long."""
    from fuzz.targets import Target

    assert isinstance(target, Target)
    took, allowed = _timed(target.check, data), patience * target.milliseconds / 1000
    if took > allowed:
        # The collector, or another process, may have been at work: what is slow is slow each time.
        took = min(took, *(_timed(target.check, data) for _ in range(3)))
    figures.inputs += 1
    figures.slowest = max(figures.slowest, took)
    assert took <= allowed, f"{took * 1000:.0f} ms"


def _timed(check: Callable[[bytes], None], data: bytes) -> float:
    begun = time.thread_time()
    check(data)
    return time.thread_time() - begun


def kept(name: str) -> list[bytes]:
    """The inputs that once were findings."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def inputs(name: str, seed: int) -> Iterator[bytes]:
    """Seeds and findings of old, then changes of them without end."""
    from fuzz.targets import TARGETS

    target = TARGETS[name]
    good = [*target.seeds(), *kept(name)]
    yield from good
    random = Random(f"{name} {seed}")
    while True:
        base = random.choice(good)
        for _ in range(random.choice((1, 1, 1, 3))):
            base = target.mutate(base, random, good)
        yield base


def keep(name: str, data: bytes) -> Path:
    """A finding, in the corpus."""
    path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def without_atheris(name: str, runs: int, seed: int) -> Figures:
    """So many inputs of the seeded mutator."""
    from fuzz.targets import TARGETS

    figures, target = Figures(), TARGETS[name]
    target.check(target.seeds()[0])  # What is read once, the registry of labels, counts for no input.
    for data, _ in zip(inputs(name, seed), range(runs), strict=False):
        try:
            check(target, data, figures)
        except Exception:
            print(f"{name}: a finding, kept as {keep(name, data)}", flush=True)
            raise
    return figures


def with_atheris(name: str, runs: int, seed: int) -> None:
    """So many inputs of libFuzzer, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["intelshare"]):
        from fuzz.targets import TARGETS
    target, figures = TARGETS[name], Figures()
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, data in enumerate([*target.seeds(), *kept(name)]):
        (folder / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        try:
            check(target, data, figures, patience=4)
        except Exception:
            print(f"{name}: a finding, kept as {keep(name, data)}", flush=True)
            raise

    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        "-rss_limit_mb=1024",
        "-timeout=20",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], one)
    atheris.Fuzz()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Fuzz a target of tests/fuzz/targets.py.")
    parser.add_argument("targets", nargs="*", help="names; none: all")
    parser.add_argument(
        "--runs", type=int, help="inputs; else a million for what a peer reaches, 100,000 for the rest"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="inputs that follow the coverage; one target")
    given = parser.parse_args()
    if given.atheris:
        with_atheris(given.targets[0], given.runs or 1_000_000, given.seed)
        return
    from fuzz.targets import TARGETS

    found = 0
    for name in given.targets or TARGETS:
        runs = given.runs or (1_000_000 if TARGETS[name].nearest else 100_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.monotonic()
        try:
            figures = without_atheris(name, runs, given.seed)
        except Exception:  # Whatever it is, it is a finding, and the other targets are to have their turn.
            traceback.print_exc()
            found += 1
            continue
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{name}: {figures.inputs} inputs in {time.monotonic() - begun:.0f} s, slowest"
            f" {figures.slowest * 1000:.1f} ms, memory +{grown:.0f} MiB, nothing found",
            flush=True,
        )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
