"""The results to take along: places, pictures, certificates, JSON, CSV, and the folder for any web host."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from arena.rules.places import Place, Played, rank
from arena.services import disqualification, publishing
from arena.services.places import read_ranking
from arena.services.queries import get_next_match
from arena.store.schema import Entry
from arena.web import drawings, exports
from arena.web.folder import FolderTaken, NoResults, write_site
from tests.support.evening import Evening

HOSTILE = '=HYPERLINK("http://x")<script>alert(1)</script>&\'"'


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def play(evening: Evening, count: int) -> list[Any]:
    """Play a bracket to its champion; the upper side wins each match."""
    authors = evening.draw(count)
    text_of = {author.entry: author.text for author in authors}
    while (match := get_next_match(evening.db, now=evening.now)) is not None:
        assert match.upper is not None
        evening.decide(match.id, text_of[match.upper.entry], voters=2)
    return authors


def test_who_goes_out_in_the_same_round_shares_a_place() -> None:
    matches = [
        Played("match", 1, "a", "e"),
        Played("match", 1, "b", "f"),
        Played("match", 1, "c", "g"),
        Played("match", 2, "a", "b"),
        Played("match", 2, "c", "d"),
        Played("third", 3, "d", "b"),
        Played("final", 3, "c", "a"),
    ]
    assert rank("abcdefg", matches, {"f"}) == [
        Place("c", 1, 1),
        Place("a", 2, 2),
        Place("d", 3, 3),
        Place("b", 4, 4),
        Place("e", 5, 6),
        Place("g", 5, 6),
        Place("f", None, None),
    ]
    assert rank("ab", []) == []


def test_places_are_told_when_the_champion_is_known_and_not_before(evening: Evening) -> None:
    authors = evening.draw(5)
    evening.decide("r1m2" if get_next_match(evening.db, now=evening.now).id == "r1m2" else "r1m1", authors[0].text)
    assert read_ranking(evening.db, now=evening.now).entries == []
    with pytest.raises(NoResults):
        write_site(evening.event, evening.folder / "site", lambda: evening.now)
    assert evening.phone().get("/results/champion.svg").status_code == 404


def test_everybody_has_a_place_and_the_disqualified_have_none(evening: Evening) -> None:
    authors = play(evening, 6)
    ranking = read_ranking(evening.db, now=evening.now)
    assert [(entry.first, entry.last) for entry in ranking.entries] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (5, 6)]
    assert {entry.name for entry in ranking.entries} == {author.name for author in authors}
    last = ranking.entries[-1]
    disqualification.disqualify(evening.db, last.entry, "copied", now=evening.now)
    after = read_ranking(evening.db, now=evening.now)
    assert after.disqualified == 1 and last.name not in str(after.entries)
    page = evening.phone().get("/results").text
    assert "1 verse was disqualified and has no place" in page and last.name not in page


def test_the_results_say_what_is_coming_before_anything_is_decided_and_show_the_bracket(evening: Evening) -> None:
    evening.open()
    assert "a bracket is drawn" in evening.phone().get("/results").text
    for number in range(4):
        evening.author(f"Poet {number}", number)
    evening.verify_all()
    evening.close_and_draw()
    page = evening.phone().get("/results").text
    assert "The bracket is drawn: 2 matches in the first round. Next: Semi-final 1." in page
    assert "/results/bracket.svg" in page
    picture = evening.phone().get("/results/bracket.svg")
    ElementTree.fromstring(picture.data)
    assert "Semi-final" in picture.text and "Poet" not in picture.text, "authors stay secret"


def test_the_folder_opens_from_a_disk_and_links_to_nothing_outside(evening: Evening, tmp_path: Path) -> None:
    play(evening, 3)
    publishing.publish(evening.db, now=evening.now)
    folder = tmp_path / "site"
    files = write_site(evening.event, folder, lambda: evening.now)
    assert sorted(folder.iterdir()) == sorted(files)
    for page in folder.glob("*.html"):
        links = re.findall(r'(?:href|src)="([^"#]+)"', page.read_text(encoding="utf-8"))
        assert links and all((folder / link).is_file() for link in links), (page, links)
        assert "<script" not in page.read_text(encoding="utf-8")
    assert {f"certificate-{place}.svg" for place in (1, 2, 3)} <= {path.name for path in files}
    assert "The champion." in (folder / "author-1.html").read_text(encoding="utf-8"), "numbered by place"
    assert "third" not in (folder / "results.json").read_text(encoding="utf-8"), (
        "of three, one is third without a match"
    )
    for picture in folder.glob("*.svg"):
        text = picture.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert write_site(evening.event, folder, lambda: evening.now) == files, "again, into its own folder"


def test_a_folder_with_other_files_is_left_alone(evening: Evening, tmp_path: Path) -> None:
    play(evening, 2)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FolderTaken):
        write_site(evening.event, tmp_path, lambda: evening.now)
    assert not (tmp_path / "index.html").exists()


def test_a_hostile_name_and_verse_stay_text_in_every_file(evening: Evening, tmp_path: Path) -> None:
    play(evening, 2)
    with evening.db.writing() as session:
        session.execute(update(Entry).values(name=HOSTILE + "../../x\ufffe", text=f"{HOSTILE}\n]]>&#0;\u202e\ufffe"))
    folder = tmp_path / "site"
    for path in write_site(evening.event, folder, lambda: evening.now):
        assert path.parent == folder and re.fullmatch(r"[a-z]+(-[a-z]+)?(-\d+)?\.\w+", path.name, re.I)
        if path.suffix in (".html", ".svg"):
            assert "<script" not in path.read_text(encoding="utf-8")
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_bytes())
    assert json.loads((folder / "results.json").read_bytes())["ranking"][0]["name"].startswith("=HYPER")
    for name in ("ranking.csv", "matches.csv"):
        rows = list(csv.reader(io.StringIO((folder / name).read_text(encoding="utf-8-sig"))))
        assert len(rows) >= 2 and not any(value.startswith(exports.FORMULA) for row in rows for value in row)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "  =1", "\uff1d1"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert str(exports.cell(text)).startswith("'")


def test_pictures_are_documents_that_run_nothing(evening: Evening) -> None:
    authors = play(evening, 2)
    phone = evening.phone()
    for address in ("/results/bracket.svg", "/results/champion.svg", f"/entries/{authors[0].entry}/certificate.svg"):
        answer = phone.get(address)
        assert answer.mimetype == "image/svg+xml"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy
    assert phone.get("/results/ranking.csv").headers["Content-Disposition"] == 'attachment; filename="ranking.csv"'
    assert "certificate.svg" in phone.get(f"/entries/{authors[0].entry}").text


def test_a_bracket_of_any_size_is_one_picture(evening: Evening) -> None:
    evening.draw(9)
    ranking = read_ranking(evening.db, now=evening.now)
    with evening.app.app_context():
        tree = ElementTree.fromstring(drawings.bracket_svg(ranking, "Evening"))
    boxes = [one for one in tree.iter() if one.tag.endswith("rect") and one.get("height") == "50"]
    assert len(boxes) == sum(len(column.matches) for column in ranking.rounds)


@pytest.mark.parametrize("text", ["W" * 480, "\u6625\u7720" * 100, "a b " * 100, "x\n" * 8, "\u05d1\u05e8" * 200, ""])
def test_any_verse_fits_its_box_on_a_card(text: str) -> None:
    fitted = drawings.fit_verse(text, "The", x=10, y=20, width=800, height=300)
    assert all(20 <= line.y <= 320 for line in fitted.lines)
    for line in fitted.lines:
        width = fitted.size * sum(map(drawings.width_of, line.given + line.own))
        left, right = (line.x - width, line.x) if line.is_rtl else (line.x, line.x + width)
        assert left >= 9.9 and right <= 810 + fitted.size
    whole = "".join(line.given + line.own for line in fitted.lines)
    assert whole.replace(" ", "") == ("The" + text).replace(" ", "").replace("\n", "")


def test_a_single_verse_is_in_the_results_although_there_was_no_match(evening: Evening, tmp_path: Path) -> None:
    evening.open()
    author = evening.author("Ada", 1)
    evening.verify_all()
    evening.close()
    with pytest.raises(NoResults, match="arena event publish"):
        write_site(evening.event, tmp_path / "site", lambda: evening.now)
    assert evening.phone().get(f"/entries/{author.entry}").status_code == 404, "secret until then"
    publishing.publish(evening.db, now=evening.now)
    write_site(evening.event, tmp_path / "site", lambda: evening.now)
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "without a champion" in index and "Ada" in index and "author-1.html" in index
    page = (tmp_path / "site" / "author-1.html").read_text(encoding="utf-8")
    assert "Verified, and in no match." in page and author.text[:20] in page
    assert (tmp_path / "site" / "certificate-1.svg").is_file()
    assert "Ada" in evening.phone().get("/results").text
    assert evening.phone().get(f"/entries/{author.entry}").status_code == 200
    [line] = csv.DictReader(io.StringIO((tmp_path / "site" / "ranking.csv").read_text(encoding="utf-8-sig")))
    assert (line["name"], line["place"]) == ("Ada", "")
