"""Draw the picture of the page of `dualgan explore` in the documentation again, in the Chromium that is there.

python -m tools.draw_page                                # the showpiece of the pretrained networks
python -m tools.draw_page --ckpt NAME OTHER --click      # two side by side, with a map of attention
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import BROWSER, PATIENCE

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "explore.png"
MOVES = {"#seed input": "4", "#psi input[type=range]": "0.8"}


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ckpt", nargs="+", default=[])
    parser.add_argument("--click", action="store_true", help="draw the map of a pixel's attention")
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "dualgan",
        "explore",
        "--port",
        "0",
        *(["--ckpt", *args.ckpt] if args.ckpt else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served, sync_playwright() as driver:
        assert served.stdout is not None
        try:
            found = re.search(r"http://\S+/", served.stdout.readline())
            assert found, "the command did not come to an address"
            browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1100, "height": 720})
            page.set_default_timeout(1000 * PATIENCE)
            page.goto(found[0])
            for where, value in MOVES.items():
                page.wait_for_selector("#picture0 img")
                before = page.locator("#picture0 img").get_attribute("src")
                page.locator(where).fill(value)
                other = "before => document.querySelector('#picture0 img').src !== before"
                page.wait_for_function(other, arg=before)
            if args.click:
                page.locator("#picture0 img").click(position={"x": 180, "y": 180})
                page.wait_for_selector("#said0 >> text=(bright)")
            page.screenshot(path=args.out)
            browser.close()
        finally:
            served.terminate()
    print(f"{args.out}: {args.out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
