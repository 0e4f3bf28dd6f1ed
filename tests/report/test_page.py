"""The report's page: what it holds, and what a browser makes of it where its reader clicks, types and filters."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments import report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.data import images
from inr_jax.fit import metrics
from inr_jax.fit.metrics import METRICS
from inr_jax.report.page import render_report
from inr_jax.report.page_data import page_data, spread_evenly
from inr_jax.report.view import RunView
from inr_jax.runs.members import read_member
from inr_jax.runs.record import Record
from inr_jax.runs.results import read_table
from tests.report.views import make_view
from tests.slow import browser

pytestmark = pytest.mark.figures

AXES = ["--config.axes.scale=1,4,16,64", "--config.axes.seed=0,1"]
SMALL = ["--config=scale:quick", "--config.size=16", "--config.design.steps=2", "--config.design.width=4"]


def data(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="members">(.*?)</script>', page, re.S)
    return json.loads(text)


def page_of(view: RunView) -> str:
    return dict(render_report(view))["report.html"].decode()


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_page_holds_every_member_with_its_scores_and_what_it_shows(finished_run):
    found, table = data((finished_run / "report.html").read_text()), pd.read_csv(finished_run / "results.csv")
    assert [each["row"] for each in found["members"]] == list(range(6)) and found["axis"] == "scale"
    record = Record(finished_run)
    for each in found["members"]:
        row = table.loc[each["row"]]
        assert dict(zip(found["settings"], each["settings"], strict=True)) == {
            "scale": f"{row['scale']:g}",
            "seed": str(row["seed"]),
        }
        np.testing.assert_allclose(each["scores"], row[found["scores"]].astype(float), rtol=1e-5)
        shown, true = opened(each["picture"]), read_member(record, each["row"]).render().clip(0, 1)
        assert metrics.psnr(shown / np.float32(255), true) > 30
    (target,) = found["targets"]
    assert metrics.psnr(opened(target) / np.float32(255), images.load("astronaut", 16)) > 30
    assert found["curve"] == table[table["seed"] == table["seed"][found["best"]]].index.tolist()


def test_a_run_keeps_what_each_member_shows_to_the_nearest_of_256_values(finished_run):
    record = Record(finished_run)
    for row in (0, 5):
        fitted = read_member(record, row).outcome
        want = images.to_bytes(read_member(record, row).render())
        assert np.abs(fitted.picture.astype(int) - want).max() <= 1


class Parts(HTMLParser):
    """What needs a word for those who do not see it, and what would ask a network."""

    def __init__(self):
        super().__init__()
        self.fields, self.sources, self.stack = [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.stack += [tag]
        self.sources += [found[name] for name in ("src", "href", "xlink:href") if found.get(name)]
        if tag in ("input", "select", "svg", "button"):
            self.fields.append((tag, found, "label" in self.stack))
        if tag in ("input", "img", "meta"):
            self.stack.pop()

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass


def test_every_picture_and_control_has_a_name_and_nothing_is_loaded_from_a_network(finished_run):
    page = Parts()
    page.feed((finished_run / "report.html").read_text())
    figures = [found for tag, found, _ in page.fields if tag == "svg" and found.get("role") == "img"]
    assert len(figures) >= 5 and all(len(figure["aria-label"]) > 10 for figure in figures)
    for tag, found, labelled in page.fields:
        assert tag == "button" or labelled or found.get("aria-label"), found
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "url(" not in (finished_run / "report.html").read_text().partition("</style>")[0]


def best_of_the_best_setting(table: pd.DataFrame) -> int:
    means = table.groupby("scale")["psnr_heldout"].mean()
    return table[table["scale"] == means.idxmax()]["psnr_heldout"].idxmax()


def dumped(finished_run, tmp_path, script: str, width: int = 0) -> dict:
    """What a script finds in a copy of the run's page."""
    page = Path(shutil.copy(finished_run / "report.html", tmp_path / "page.html"))
    return browser.found(page, script, width=width)


BEFORE = """
const all = (selector) => [...document.querySelectorAll("#explore " + selector)];
const rows = () => all("table.members tbody tr").map((row) => row.cells[0].textContent.trim());
const text = (selector) => all(selector)[0].textContent;
const type = (selector, value) => {
  const input = all(selector)[0]; input.value = value; input.dispatchEvent(new Event("input", { bubbles: true }));
};
const pick = (name, value) => {
  const select = all(`select[name=${name}]`)[0]; select.value = value; select.dispatchEvent(new Event("change"));
};
const click = (node) => node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
const press = (node, key) => node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
"""


@browser.needed
def test_members_are_selected_compared_sorted_filtered_and_enlarged(finished_run, tmp_path):
    script = (
        BEFORE
        + """
      const found = { points: all("circle").length, rows: rows(), best: text("output.left") };
      found.right = text("output.right");
      click(all("circle")[0]); found.clicked = text("output.left");
      found.picture = all("img.left")[0].src.slice(0, 15);
      click(all("input[name=side]")[1]);
      all("input[name=side]")[1].dispatchEvent(new Event("change"));
      click(all("table.members tbody tr button")[5]); found.compared = text("output.right");
      found.marked = all("circle.right").length + all("tr.right").length;
      click(all("button.target")[0]); found.target = text("output.right");
      click(all('th button[data-name="psnr_train"]')[0]); found.down = rows();
      click(all('th button[data-name="psnr_train"]')[0]); found.up = rows();
      found.sorted = all("th[aria-sort]").map((header) => header.textContent + " " + header.getAttribute("aria-sort"));
      type(".filter input", "scale>4 seed=0"); found.filtered = rows().sort(); found.left = all("circle").length;
      found.count = text(".count");
      type(".filter input", "nothing-such"); found.none = rows().length;
      type(".filter input", "");
      const before = all("circle").map((point) => point.getAttribute("cy"));
      pick("y", "psnr_train");
      found.moved = all("circle").some((point, place) => point.getAttribute("cy") !== before[place]);
      type(".zoom input", "4"); found.zoom = all("img.left")[0].style.transform;
      type(".wipe input", "25"); found.wipe = all(".frame")[0].style.getPropertyValue("--wipe");
      return found;"""
    )
    found = dumped(finished_run, tmp_path, script)
    table = pd.read_csv(finished_run / "results.csv")
    by_train = table["psnr_train"].sort_values()
    best = best_of_the_best_setting(table)
    assert found["points"] == 6 and found["rows"] == [str(row) for row in range(6)]
    assert found["best"].startswith(f"member {best}: ") and found["right"] == "the target"
    assert f"{table['psnr_heldout'][best]:.2f} dB" in found["best"]
    assert "scale 1," in found["clicked"] and found["picture"].startswith("data:image/webp")
    assert found["compared"].startswith("member 5: scale 16, seed 1") and found["marked"] == 2
    assert found["target"] == "the target"
    assert found["down"] == [str(row) for row in by_train.index[::-1]]
    assert found["up"] == found["down"][::-1] and found["sorted"] == ["psnr_train ascending"]
    wanted = table[(table["scale"] > 4) & (table["seed"] == 0)].index
    assert found["filtered"] == [str(row) for row in wanted] and found["left"] == len(wanted)
    assert found["count"] == f"{len(wanted)} of 6 members" and found["none"] == 0
    assert found["moved"] and found["zoom"] == "scale(4)" and found["wipe"] == "25%"


@browser.needed
@pytest.mark.parametrize("side", [0, 1])
def test_the_points_are_walked_through_by_the_keyboard(finished_run, tmp_path, side):
    script = (
        BEFORE
        + """
      const radio = all("input[name=side]")[SIDE]; radio.checked = true; radio.dispatchEvent(new Event("change"));
      const at = (output = ["output.left", "output.right"][SIDE]) => text(output).match(/member (\\d+)/)[1];
      const here = () => all("circle[tabindex='0']");
      here()[0].focus(); press(document.activeElement, "Home");
      const found = { home: at(), tabbed: here().length, walk: [] };
      for (let i = 0; i < 5; i++) { press(document.activeElement, "ArrowRight"); found.walk.push(at()); }
      found.focus = document.activeElement.getAttribute("aria-label");
      found.named = all("circle").every((point) => point.getAttribute("aria-label").startsWith("member"));
      type(".along input", "0"); found.along = at("output.left");
      return found;"""
    ).replace("SIDE", str(side))
    found = dumped(finished_run, tmp_path, script)
    table = pd.read_csv(finished_run / "results.csv")
    order = table.sort_values(["scale", "psnr_heldout"]).index.astype(str).tolist()
    assert [found["home"], *found["walk"]] == order and found["tabbed"] == 1
    assert found["focus"].startswith(f"member {order[-1]}:") and found["named"]
    assert table["scale"][int(found["along"])] == 1


@browser.needed
@pytest.mark.parametrize("side", [320, 390, 1280])
def test_nothing_overflows_the_page_on_a_phone_or_a_desk(finished_run, tmp_path, side):
    script = """
      const beyond = [...document.querySelectorAll("body *")].filter((node) =>
        !node.closest(".scroll") && !node.closest(".frame") && node.getBoundingClientRect().right > innerWidth + 1);
      const width = document.documentElement.scrollWidth, body = document.body.clientWidth;
      const figures = [...document.querySelectorAll("figure svg")].map((node) => node.getBoundingClientRect().width);
      return { width, inner: innerWidth, body, figures, beyond: beyond.map((node) => node.outerHTML.slice(0, 80)) };"""
    found = dumped(finished_run, tmp_path, script, side)
    assert found["inner"] == side and found["beyond"] == [] and found["width"] <= found["inner"]
    assert len(found["figures"]) >= 5 and all(250 < width <= found["body"] for width in found["figures"])


@browser.needed
def test_the_reader_chooses_what_the_chart_shows(finished_run, tmp_path):
    script = (
        BEFORE
        + """
      const labels = () => all("svg text.label").map((text) => text.textContent);
      const fills = () => [...new Set(all("circle").map((point) => getComputedStyle(point).fill))];
      const places = (name) => all("circle").map((point) => Number(point.getAttribute(name)));
      const found = { labels: [labels()], fills: [fills().length], places: [places("cx")] };
      found.options = all("select[name=x] option").map((option) => option.value);
      pick("x", "psnr_all"); pick("y", "ssim"); found.labels.push(labels()); found.places.push(places("cx"));
      pick("color", "seed"); found.fills.push(fills().length); found.legend = text(".legend");
      pick("color", "psnr_train"); found.fills.push(fills().length);
      return found;"""
    )
    found = dumped(finished_run, tmp_path, script)
    assert found["labels"][0] == ["scale (cycles per image side)", "PSNR held out (dB)"]
    assert found["labels"][1] == ["PSNR all pixels (dB)", "SSIM"]
    assert {"scale", "seed", "psnr_train", "member"} <= set(found["options"])
    assert len(set(found["places"][0])) == 3 and len(set(found["places"][1])) == 6
    assert found["fills"][:2] == [1, 2] and found["legend"] == "seed 0seed 1"


@browser.needed
def test_names_are_the_ticks_of_an_axis_and_a_member_has_only_its_own_settings(tmp_path):
    view = make_view({"photo": images.load("astronaut", 16)}, network=["relu", "siren", "finer"])
    view = replace(view, table=view.table.assign(omega_0=[None, 30.0, 20.0]))
    page = tmp_path / "page.html"
    page.write_text(page_of(view))
    script = (
        BEFORE
        + """
      const ticks = () => all("svg text.tick-x").map((text) => text.textContent);
      const found = { x: ticks(), left: text("output.left") };
      pick("y", "network"); pick("x", "psnr_train");
      found.y = all("svg text.tick-y").map((text) => text.textContent);
      pick("x", "omega_0"); found.without = text(".without"); found.points = all("circle").length;
      return found;"""
    )
    found = browser.found(page, script, width=390)
    assert found["x"] == found["y"] == ["relu", "siren", "finer"]
    assert found["left"] == "member 0: network relu; 30.00 dB"
    assert found["points"] == 2 and found["without"] == "1 of the members have no omega_0 or no network."


def test_the_member_shown_first_has_the_best_setting_that_the_page_names():
    view = make_view({"photo": images.load("astronaut", 16)}, scale=[1.0, 2.0, 4.0], seed=[0, 1])
    view = replace(view, table=view.table.assign(psnr_heldout=[30.0, 10.0, 25.0, 26.0, 9.0, 9.0]))
    page = page_of(view)
    found = data(page)
    assert "best: scale 2: 25.50 dB" in page and (found["best"], found["highest"]) == (3, 0)
    assert "Member 3, shown first, has the highest score of the best setting. Member 0 has the highest of all" in page
    assert found["curve"] == [1, 3, 5]


def test_the_contents_lead_to_every_heading(finished_run):
    page = (finished_run / "report.html").read_text()
    links = re.findall(r'<li><a href="#([\w-]+)">', page)
    ids = re.findall(r'<(?:h2|section) id="([\w-]+)"', page)
    assert links == [each for each in ids if each != "explore-title"] and len(links) > 5


def test_a_figure_has_ids_that_no_other_has(finished_run):
    ids = re.findall(r' id="([^"]+)"', (finished_run / "report.html").read_text())
    assert len(ids) == len(set(ids))


@browser.needed
def test_the_page_of_a_single_fit_begins_with_its_picture(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(page_of(make_view({"photo": images.load("astronaut", 16)})))
    script = (
        BEFORE
        + """
      const seen = (selector) => all(selector).filter((node) => node.getClientRects().length).length;
      const top = all(".frame")[0].getBoundingClientRect().top;
      const other = document.querySelector("figure svg").getBoundingClientRect().top;
      return { first: top < other, chart: seen("svg"), table: seen("table"),
        left: document.body.clientWidth - all(".frame")[0].clientWidth };"""
    )
    found = browser.found(page, script, width=390)
    assert found == {"first": True, "chart": 0, "table": 0, "left": 32}
    assert "PSNR of each setting" not in page.read_text() and "oracle" not in page.read_text()


@browser.needed
def test_a_browser_draws_the_page_light_and_dark(finished_run, tmp_path):
    for flags, dark in (([], False), (["--force-dark-mode", "--blink-settings=preferredColorScheme=0"], True)):
        picture = tmp_path / f"{dark}.png"
        page = Path(shutil.copy(finished_run / "report.html", tmp_path / "page.html"))
        browser.drawn(page, picture, "900,4000", *flags)
        shown = iio.imread(picture)[..., :3].astype(float)
        assert (shown.mean() < 110) == dark and shown.std() > 20
        # Points of the chart, in the colour of members, and figures of the page's own background.
        assert (np.abs(shown - ((0x4A, 0xA8, 0xE0) if dark else (0, 0x72, 0xB2))).max(-1) < 8).sum() > 150
        assert (shown.min(-1) > 250).mean() < 0.1 or not dark


@pytest.mark.slow
def test_sixty_four_members_of_256_pixels_squared_are_less_than_ten_megabytes():
    noise = np.random.default_rng(0).normal(0, 0.05, (256, 256, 3))
    targets = {"photo": (images.load("astronaut", 256) + noise).clip(0, 1).astype(np.float32)}
    page = page_of(make_view(targets, scale=np.geomspace(1, 128, 64).tolist()))
    found = data(page)
    assert len(page) < 10e6 and sum("picture" in each for each in found["members"]) == 64
    assert all(opened(each["picture"]).shape == (256, 256, 3) for each in found["members"])


def test_a_page_survives_infinite_scores_and_names_that_are_html():
    targets = {"a'b&<i>\".png": np.zeros((16, 16, 1), np.float32), "astronaut": images.load("astronaut", 16)}
    view = make_view(targets, scale=[1.0, 2.0, 4.0])
    page = page_of(replace(view, table=view.table.assign(psnr_heldout=np.inf, psnr_all=np.nan)))
    found = data(page)
    assert len(found["members"]) == 6 and "<i>" not in page
    assert all(each["scores"][1] is None for each in found["members"])


def test_the_page_has_a_target_once_whatever_the_split():
    found = page_data(make_view({"photo": images.load("astronaut", 16)}, split_seed=[0, 1, 2]))
    assert len(found["targets"]) == 1 and [each["target"] for each in found["members"]] == 3 * [0]


def test_images_that_are_not_square_keep_their_shape_on_the_page():
    wide, tall = images.load("astronaut", 24)[:16], images.load("chelsea", 24)[:, :16]
    page = page_of(make_view({"wide": wide, "tall": tall}, scale=[1.0, 2.0, 4.0]))
    assert [opened(target).shape for target in data(page)["targets"]] == [(16, 24, 3), (24, 16, 3)]


def windowed(coords, key, *, window: str = "hann"):
    return coords


@pytest.mark.slow
def test_texts_that_mean_nothing_or_a_formula_elsewhere_are_texts(tmp_path):
    custom = ["--config.design.encoding=tests.report.test_page:windowed", "--config.axes.seed=0"]
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*SMALL, *custom, "--config.axes.window=None,NA,$_{$", f"--out={out}"]) == 0
    table = read_table(Record(out))
    assert table["window"].tolist() == ["None", "NA", "$_{$"]
    found = data((out / "report.html").read_text())
    assert [each["settings"] for each in found["members"]] == [["None"], ["NA"], ["$_{$"]]
    assert "$_{$" in (out / "figures" / "psnr_compared.svg").read_text()


@pytest.mark.slow
def test_the_report_of_an_unfinished_run_calls_no_member_failed(tmp_path):
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*SMALL, "--shard=0/2", *AXES, f"--out={out}"]) == 0
    assert exit_status(report.main, [str(out)]) == 0
    counts = pd.read_csv(out / "results.csv")["status"].value_counts().to_dict()
    assert counts == {"ok": 4, "missing": 4}
    page = (out / "report.html").read_text()
    assert "4 missing" in page and "failed" not in page.partition("<script>")[0]


def test_a_page_of_too_many_members_keeps_the_best_and_its_curve():
    rows = list(range(5000))
    spread = spread_evenly(rows, [4321, 7, 9], 100)
    assert len(spread) == 100 and {7, 9, 4321} <= set(spread) and spread == sorted(spread)
    assert max(np.diff(spread)) < 110
    assert spread_evenly(rows, rows[:300], 50) == sorted(set(spread_evenly(rows, rows[:300], 50)))


def test_a_run_of_signals_has_a_chart_a_table_and_their_curves_as_pictures():
    view = make_view({"signal": images.load("synthetic:power_law", 32)}, scale=[1.0, 4.0], seed=[0, 1])
    page = page_of(view)
    found = data(page)
    assert len(found["members"]) == 4 and all("picture" in each for each in found["members"])
    assert ">Signals</h2>" in page and ">Gallery</h2>" not in page


def test_a_volume_is_shown_by_its_slices():
    view = make_view({"volume": np.random.default_rng(0).random((5, 12, 10, 1), np.float32)}, scale=[1.0, 4.0])
    page = page_of(view)
    assert ">Gallery</h2>" in page and all("picture" in each for each in data(page)["members"])


def test_a_further_metric_is_on_the_page_and_in_its_script():
    view = make_view({"photo": images.load("astronaut", 16)}, scale=[1.0, 2.0, 4.0], seed=[0, 1])
    metric = METRICS["ssim"]._replace(unit="nats", digits=3, label="LPIPS")
    table = view.table.assign(lpips=np.linspace(0.1, 0.6, len(view.table)))
    page = page_of(replace(view, table=table, metrics={**view.metrics, "lpips": metric}))
    assert "<button>LPIPS (nats)</button>" in page and '<option value="lpips">LPIPS (nats)</option>' in page
    found = data(page)
    assert found["metrics"]["lpips"] == {"label": "LPIPS", "unit": "nats", "digits": 3}
    assert [each["scores"][-1] for each in found["members"]] == pytest.approx(table["lpips"].tolist())
    assert sorted(found["settings"]) == ["scale", "seed"]
