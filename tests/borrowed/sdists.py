"""Source distributions of peers, fetched when the tests run, never committed.

pip downloads them, because that is the registry's ordinary client and knows
what index is configured. They are kept in `.cache/sdists`, which git ignores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "sdists"


def unpacked(name: str) -> Path:
    """Return the source tree of the version that is installed.

    The first call of a version downloads it; two processes may call at once.
    """
    version = metadata.version(name)
    target = CACHE / f"{name.lower()}-{version}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            tree = _download(name, version, Path(directory))
            try:
                tree.rename(target)
            except OSError:
                # Another process was first; its tree is as good as ours.
                if not target.exists():
                    raise
    return target


def _download(name: str, version: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", name, "--dest", str(directory), f"{name}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    archive.unlink()
    (tree,) = (each for each in directory.iterdir() if each.is_dir())
    shutil.rmtree(tree / ".git", ignore_errors=True)
    return tree
