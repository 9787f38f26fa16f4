"""The tables of the page on scale are those that its script makes of the measurements."""

from profiling.scale import PAGE, tables, with_tables


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page
    assert tables() in page


def test_other_text_stays() -> None:
    assert with_tables("a <!-- tables of profiling/scale.py --> old <!-- end of the tables --> b").startswith("a <!--")
    assert with_tables("a <!-- tables of profiling/scale.py --> old <!-- end of the tables --> b").endswith("--> b")
