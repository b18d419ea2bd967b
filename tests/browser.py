"""The browser of this machine, for tests of pages."""

import shutil

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no Chromium found: neither chromium nor google-chrome is on the PATH"
