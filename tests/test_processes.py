"""Processes that tests start import what lies in the checkout, whichever copy of it is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("package", ["reference", "toy", "deep", "figures", "tests"])
def test_a_script_imports_the_checkout_and_not_what_is_installed(package: str, tmp_path: Path) -> None:
    """From a folder of its own, as the scripts of tests/deep; `-S` has tmp_path for site-packages."""
    (tmp_path / "installed" / package).mkdir(parents=True)
    (tmp_path / "installed" / package / "__init__.py").touch()
    script = tmp_path / "script.py"
    script.write_text(
        f"import site, importlib.util\n"
        f"site.addsitedir({str(tmp_path / 'installed')!r})\n"
        f"print(importlib.util.find_spec({package!r}).origin)\n"
    )
    done = subprocess.run([sys.executable, "-S", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / package / "__init__.py"), done.stderr
