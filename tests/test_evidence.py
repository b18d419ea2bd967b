"""The pages of evidence: made of the recorded numbers, and no claim stronger than its seeds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dualgan.comparison.published import document
from dualgan.comparison.study.definition import read_study
from tests.shipping import tool

evidence = tool("evidence")
DOCS = Path(__file__).parents[1] / "docs"
STUDIES = DOCS.parent / "studies"

WITH_FID = [section for section in evidence.claims() if section.get("published", "").startswith("FID")]
LESS, MORE = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
PUBLISHED_LOWER = {"row": [1.0, 2.0, 9.0], "against": [2.0, 3.0, 4.0]}
PUBLISHED_EVEN = {"row": [1.0, 2.0], "against": [2.0, 1.0]}


class TestPages:
    def test_both_are_what_the_recorded_numbers_make(self) -> None:
        for file, text in evidence.pages(DOCS).items():
            assert file.read_text() == text, f"{file.name}: run python tools/evidence.py"

    def test_another_number_makes_another_page(self, tmp_path: Path) -> None:
        docs = tmp_path / "docs"
        (docs / "experiments").mkdir(parents=True)
        for file in [DOCS / "evidence.md", *(DOCS / "experiments").glob("evidence.*")]:
            shutil.copyfile(file, docs / file.relative_to(DOCS))
        numbers = json.loads((docs / "experiments" / "evidence.losses.json").read_text())
        for run in numbers["contrastive"]:
            run["fd_efficientnet_lite0"] = 1.0
        (docs / "experiments" / "evidence.losses.json").write_text(json.dumps(numbers))
        text = evidence.pages(docs)[docs / "evidence.md"]
        assert "| 1 ± 0 against " in text
        assert text != (DOCS / "evidence.md").read_text()

    def test_takes_finished_studies_and_leaves_the_others(self, tmp_path: Path) -> None:
        docs, study = tmp_path / "docs", tmp_path / "studies" / "losses"
        for folder in (docs / "experiments", docs / "images", study):
            folder.mkdir(parents=True)
        (study / "numbers.json").write_text('{"a": []}')
        (study / "curves.png").write_bytes(b"png")
        assert evidence.take(study.parent, docs) == ["losses"]
        assert (docs / "experiments" / "evidence.losses.json").read_text() == '{"a": []}'
        assert (docs / "images" / "evidence_losses.png").read_bytes() == b"png"

    @pytest.mark.parametrize("section", evidence.claims(), ids=lambda section: section["title"])
    def test_compares_rows_of_its_study(self, section: dict[str, Any]) -> None:
        rows = read_study(STUDIES / f"{section['study']}.yaml").rows
        for entry in section["comparisons"]:
            assert {entry["row"], entry["against"]} <= set(rows)
            assert set(entry.get("published", {}).values()) <= set(section.get("figures", {}))

    def test_a_row_without_numbers_is_said_to_be_left(self) -> None:
        entry = {"row": "a", "against": "b"}
        line = evidence.comparison(entry, "fd_efficientnet_lite0", {}, {"a": [{"fd_efficientnet_lite0": 1.0}]})
        assert line == "| a against b | not published | not run yet | 0 | undecided |"

    @pytest.mark.parametrize("section", WITH_FID, ids=lambda section: section["title"])
    def test_published_fids_are_those_of_the_table_of_published_rows(self, section: dict[str, Any]) -> None:
        known = [row["fid50k"] for table in document()["tables"] for row in table["rows"] if "fid50k" in row]
        assert all(figures in known for figures in section["figures"].values())

    def test_numbers_in_sentences_are_recorded_ones(self) -> None:
        found = {"losses": {"hinge": [{"fid": 1234.5}, {"fid": 2.0}]}}
        card = evidence.pretrained_networks()["clevr32"].card()
        assert evidence.filled("at {losses/hinge/fid}.\n", found) == "at 2 and 1234."
        assert evidence.filled("{pretrained/clevr32/fddf}", found) == f"{card['scores']['fddf']:.3g}"
        with pytest.raises(KeyError, match="saturating"):
            evidence.filled("{losses/saturating/fid}", found)


class TestVerdict:
    def test_agrees_and_disagrees_where_all_seeds_are_apart(self) -> None:
        assert evidence.verdict(LESS, MORE, PUBLISHED_LOWER) == "agrees"
        assert evidence.verdict(MORE, LESS, PUBLISHED_LOWER) == "disagrees"

    def test_undecided_where_one_seed_crosses(self) -> None:
        assert evidence.verdict([1.0, 2.0, 4.5], MORE, PUBLISHED_LOWER) == "undecided"

    def test_undecided_with_two_seeds(self) -> None:
        assert evidence.verdict([1.0, 2.0], MORE, PUBLISHED_LOWER) == "undecided"

    @pytest.mark.parametrize("published", [None, PUBLISHED_EVEN])
    def test_says_the_direction_where_no_sign_is_published(self, published: dict[str, list[float]] | None) -> None:
        assert evidence.verdict(LESS, MORE, published) == "smaller"
        assert evidence.verdict(MORE, LESS, published) == "larger"

    def test_published_figures_in_words(self) -> None:
        assert evidence.published_in_words(PUBLISHED_LOWER, "lower") == "better on 2 of 3 sets, median -33%"
        assert evidence.published_in_words(PUBLISHED_LOWER, "higher") == "better on 1 of 3 sets, median -33%"
        assert evidence.published_in_words(None, "lower") == "not published"
