"""The page: what it says, what it never does, and what a browser makes of it."""

import html
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualgan.comparison.curves import HALF_LIFE, HALF_LIVES, MAX_POINTS, curves
from dualgan.comparison.page import render, write
from dualgan.comparison.pictures import read_samples, spread
from dualgan.comparison.runs import read_runs
from tests.browser import BROWSER, NO_BROWSER, PATIENCE
from tests.comparison.conftest import ROWS, MakeRun, parsed

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=10000", "--window-size=1200,2400",
)  # fmt: skip
HOSTILE = (
    "\"'><img src=x onerror=\"document.body.dataset.hacked='1'\"><script>document.body.dataset.hacked='1'</script>"
)


def visible(page: str) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


class TestContent:
    def test_numbers_are_those_of_the_csv(self, make_run: MakeRun) -> None:
        runs = read_runs([make_run()])
        page = render(runs)
        name = "metrics/fd_efficientnet_lite0"
        assert f'data-last="{ROWS[-1][name]}"' in page
        assert 'data-best="208.62763546830786"' in page
        (curve,) = curves(runs)["Quality"]
        expected = [(row["kimg"], row[name]) for row in ROWS if name in row]
        trace = curve.figure["data"][0]
        assert list(zip(trace["x"], trace["y"], strict=True)) == expected
        assert "208.62763546830786" in page.split("const figures")[1]

    def test_plots_are_chosen_by_what_was_logged(self, make_run: MakeRun) -> None:
        rows = [{"kimg": 1.0, "loss/r1": 0.1, "train/non_finite": 0.0}, {"kimg": 2.0, "logits/real": -1.0, "mine": 3.0}]
        runs = read_runs([make_run("a"), make_run("b", rows=rows)])
        shown = {section: [plot.column for plot in plots] for section, plots in curves(runs).items()}
        assert shown == {
            "Quality": ["metrics/fd_efficientnet_lite0"],
            "Losses": ["loss/generator", "loss/r1"],
            "Contrast": ["contrast/margin", "logits/real"],
            "Other": ["mine"],
        }
        margin = curves(runs)["Contrast"][0]
        assert len(margin.figure["data"]) == 1
        assert not margin.positive

    def test_non_finite_minibatches_get_a_plot(self, make_run: MakeRun) -> None:
        runs = read_runs([make_run(rows=[{"kimg": 1.0, "train/non_finite": 2.0}])])
        assert [plot.column for plot in curves(runs)["Other"]] == ["train/non_finite"]

    def test_long_curves_are_thinned(self, make_run: MakeRun) -> None:
        rows = [{"kimg": float(k), "loss/generator": float(k)} for k in range(3 * MAX_POINTS)]
        (curve,) = curves(read_runs([make_run(rows=rows)]))["Losses"]
        kept = curve.figure["data"][0]["x"]
        assert (len(kept), kept[0], kept[-1]) == (MAX_POINTS, 0.0, 3 * MAX_POINTS - 1)

    def test_provenance_and_settings_mark_what_differs(self, make_run: MakeRun) -> None:
        config = {"model": {"total_kimg": 2.0, "r1_gamma": 10}, "data": {"init_args": {"resolution": 32}}}
        page = render(read_runs([make_run("a"), make_run("b", config=config, provenance={"num_fake": 500})]))
        differing = re.findall(
            r'<tr class="differs"><th>(.*?)</th><td data-title="a">(.*?)</td><td data-title="b">(.*?)</td>', page
        )
        assert differing == [("num_fake", "2000", "500"), ("model.r1_gamma", "—", "10")]
        assert '<tr class="same"><th>extractor</th>' in page
        assert "Protocols differ in num_fake: a 2000; b 500." in page

    def test_best_is_bold_where_numbers_compare(self, make_run: MakeRun) -> None:
        folders = [make_run("a"), make_run("b", provenance={"num_fake": 500}), make_run("c", rows=ROWS[:4])]
        bold = 'class="number winner"'
        assert visible(render(read_runs(folders[:2]))).count(bold) == 0
        page = visible(render(read_runs(folders)))
        assert [bold in row for row in re.findall("<tr data-run.*?</tr>", page, re.DOTALL)] == [True, False, True]
        assert "lower is better; protocols differ" in page

    def test_published_figures_with_what_is_not_alike(self, make_run: MakeRun) -> None:
        config = parsed("church_contr.yaml")
        config["data"]["init_args"]["batch_size"] = 8
        page = html.unescape(visible(render(read_runs([make_run(config=config)]))))
        assert "LSUN Church 256x256: StyleGAN2, DualContrastive (Tables 1, 6 and S5)" in page
        assert '<th>published</th><td class="number" data-title="fid50k">3.73</td>' in page
        assert "data.batch_size 8 instead of 32" in page
        assert "extractor efficientnet_lite0 instead of inception_v3" in page

    def test_a_run_without_anything_yet(self, make_run: MakeRun) -> None:
        page = visible(render(read_runs([make_run(rows=[], samples=0, config={})])))
        assert "Scores" in page
        for title in ("Curves", "Samples", "Published"):
            assert f"<h2>{title}" not in page


class TestPictures:
    def test_spread(self) -> None:
        assert spread(range(10), 4) == [0, 3, 6, 9]
        assert spread(range(3), 4) == [0, 1, 2]
        assert spread(range(3), 1) == [2]

    def test_limits(self, make_run: MakeRun) -> None:
        folder = make_run(samples=9)
        found = read_samples(folder, 3, 48)
        assert [picture.kimg for picture in found.generated] == [0.0, 4.0, 8.0]
        assert found.found == 9
        small, large = (len(read_samples(folder, 1, size).generated[0].uri) for size in (16, 96))
        assert small < large

    def test_half_a_picture_is_left_out(self, make_run: MakeRun) -> None:
        folder = make_run()
        last = folder / "samples" / "kimg_00002.000.png"
        last.write_bytes(last.read_bytes()[:80])
        found = read_samples(folder, 12, 96)
        assert [picture.kimg for picture in found.generated] == [0.0, 1.0]
        assert found.damaged == [last.name]
        assert f"unreadable: {last.name}" in render(read_runs([folder]))


def hostile_run(make_run: MakeRun) -> Path:
    name = "<img src=x onerror=document.body.dataset.hacked='1'>"
    rows = [row | {"metrics/" + HOSTILE: 1.0, HOSTILE: 2.0} for row in ROWS]
    config = {"model": {"loss": HOSTILE, HOSTILE: 1}, "data": {"init_args": {"resolution": 32}}}
    return make_run(name, rows=rows, config=config, provenance={HOSTILE: HOSTILE})


class TestSafety:
    def test_nothing_from_a_run_becomes_markup(self, make_run: MakeRun) -> None:
        page = render(read_runs([hostile_run(make_run)]))
        assert "<img src=x" not in page
        assert "<script>document" not in page
        assert page.count("<script") == page.count("<script nonce=") + page.count('"<script')  # plotly's own text

    def test_loads_nothing(self, make_run: MakeRun) -> None:
        page = visible(render(read_runs([make_run()])))
        assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']*""", page) == []
        assert "default-src 'none'" in page


@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
class TestBrowser:
    """The page in headless Chromium."""

    def browse(self, page: Path, folder: Path, *words: str) -> str:
        assert BROWSER is not None
        command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *words, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True, cwd=folder)
        return done.stdout

    def test_curves_are_drawn_and_hostile_names_stay_text(self, make_run: MakeRun, tmp_path: Path) -> None:
        write(read_runs([make_run(), hostile_run(make_run)]), tmp_path / "compare.html")
        dom = self.browse(tmp_path / "compare.html", tmp_path, "--dump-dom")
        drawn = visible(dom)
        assert "data-hacked" not in drawn
        assert drawn.count('class="main-svg"') >= 4
        assert len(re.findall(r'class="js-line"[^>]* d="M', drawn)) >= 6
        assert '<img class="generated"' in drawn

    def test_slider_boxes_and_axes_work(self, make_run: MakeRun, tmp_path: Path) -> None:
        page = tmp_path / "compare.html"
        write(read_runs([make_run("a"), make_run("b")]), page)
        text = page.read_text()
        nonce = re.search(r'<script nonce="(.*?)"', text)
        assert nonce
        driver = """<script nonce="NONCE">
          const change = (selector, value, kind) => {
            const element = document.querySelector(selector);
            if (element.type === "range") element.value = value; else element.checked = value;
            element.dispatchEvent(new Event(kind));
          };
          change("#moment", 1, "input");
          change('.toggle[value="1"]', false, "change");
          change("#logarithmic", true, "change");
          change('.all[data-table="settings"]', true, "change");
          setTimeout(() => {
            const plots = [...document.querySelectorAll(".curve")];
            document.body.dataset.axes = plots.map(plot => plot._fullLayout.yaxis.type).join();
            document.body.dataset.traces = plots[0].data.map(trace => trace.visible ?? true).join();
          }, 1000);
        </script></body>""".replace("NONCE", nonce[1])
        page.write_text(text.replace("</body>", driver))
        drawn = visible(self.browse(page, tmp_path, "--dump-dom"))
        assert 'data-axes="log,log,linear"' in drawn  # margins below 0 stay on a linear axis
        assert 'data-traces="true,false"' in drawn
        assert '<figure data-run="1" hidden' in drawn
        assert 'id="settings" class="stacked only-differing"' in text
        assert "only-differing" not in drawn
        first, _ = drawn.split("<figure")[1:]
        shown = [image for image in re.findall(r"<img .*?>", first) if "hidden" not in image.split("src=")[1]]
        assert ['data-kimg="1.0"' in image for image in shown] == [True]

    def test_narrow_windows_show_whole_words(self, make_run: MakeRun, tmp_path: Path) -> None:
        folders = [make_run(f"a_run_with_a_name_of_many_words_{k}", provenance={"num_fake": k}) for k in range(3)]
        # a frame: Chromium's own window is never that narrow
        inside = html.escape(render(read_runs(folders)), quote=True)
        (tmp_path / "narrow.html").write_text(f"""<iframe width="400" height="900" srcdoc="{inside}"></iframe><script>
          onload = () => setTimeout(() => {{
            const page = document.querySelector("iframe").contentDocument;
            const shown = [...page.querySelectorAll("td, th")].filter(cell => cell.offsetWidth);
            const narrow = shown.filter(cell => cell.offsetWidth < 80);
            const plots = [...page.querySelectorAll(".main-svg")].map(plot => plot.getBoundingClientRect().right);
            document.body.dataset.found = [
              shown.length > 20, narrow.map(cell => cell.textContent), page.documentElement.scrollWidth <= 400,
              plots.length > 2 && Math.max(...plots) <= 400,
            ].join();
          }}, 1000);
        </script>""")
        assert 'data-found="true,,true,true"' in self.browse(tmp_path / "narrow.html", tmp_path, "--dump-dom")

    def test_losses_are_smoothed_and_raw_curves_faint(self, make_run: MakeRun, tmp_path: Path) -> None:
        values = np.random.default_rng(0).normal(size=60)
        clock = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, 60))
        rows = [{"kimg": k, "loss/generator": v, "metrics/fid": v} for k, v in zip(clock, values, strict=True)]
        page = tmp_path / "compare.html"
        write(read_runs([make_run(rows=rows)]), page)
        text = page.read_text()
        nonce = re.search(r'<script nonce="(.*?)"', text)
        assert nonce
        driver = """<script nonce="NONCE">
          const seen = () => JSON.stringify(plots.map(plot => plot.data.map(trace => [trace.y, trace.opacity ?? 1])));
          document.body.dataset.smoothed = seen();
          document.getElementById("smoothing").value = 0;
          document.getElementById("smoothing").dispatchEvent(new Event("input"));
          document.body.dataset.off = seen();
        </script></body>""".replace("NONCE", nonce[1])
        page.write_text(text.replace("</body>", driver))
        dom = self.browse(page, tmp_path, "--dump-dom")
        found = {
            name: json.loads(html.unescape(text)) for name, text in re.findall(r'data-(smoothed|off)="(.*?)"', dom)
        }
        (quality,), ((raw, faint), (average, _)) = found["smoothed"]
        assert quality[0] == raw == values.tolist()
        assert faint < 0.5
        half_life = HALF_LIVES[HALF_LIFE] * clock[-1]
        expected = [
            np.average(values[: n + 1], weights=0.5 ** ((clock[n] - clock[: n + 1]) / half_life)) for n in range(60)
        ]
        np.testing.assert_allclose(average, expected, rtol=1e-9)
        assert found["off"][1] == [[values.tolist(), 1], [[], 1]]

    def test_curves_and_pictures_show(self, make_run: MakeRun, tmp_path: Path) -> None:
        write(read_runs([make_run()]), tmp_path / "compare.html", pictures=3)
        self.browse(tmp_path / "compare.html", tmp_path, f"--screenshot={tmp_path / 'shot.png'}")
        with Image.open(tmp_path / "shot.png") as shot:
            pixels = np.asarray(shot.convert("RGB")).astype(int)
        curve = (np.abs(pixels - (31, 119, 180)).max(axis=2) < 8).sum()  # the first run's colour
        sample = np.abs(pixels - (200, 40, 80)).max(axis=2) < 12  # the last grid's
        assert curve > 500
        assert sample.sum() > 300 * 200
