"""The flag that replaces one of Playwright's keeps what Playwright's says."""

import re
from pathlib import Path

import playwright

from tests.browser.conftest import WITHOUT

BUNDLE = Path(playwright.__file__).parent / "driver/package/lib/coreBundle.js"


def test_every_feature_that_playwright_disables_is_disabled() -> None:
    [block] = re.findall(
        r"^ *disabledFeatures = \[$(.*?)^ *\]", BUNDLE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    disabled = set(re.findall(r'"([^"]+)"', block))
    assert "PaintHolding" in disabled, "the list was found"
    assert disabled <= set(WITHOUT.split(","))
