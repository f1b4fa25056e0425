"""Marked differences between two answers."""

from eval.report.differences import mark_differences, shortened


def test_differences_are_marked_by_character_and_by_latin_word() -> None:
    base, tuned = mark_differences("北京市海淀区", "北京海淀区")
    assert [piece.text for piece in base if piece.differs] == ["市"]
    assert [piece.text for piece in tuned if piece.differs] == []
    base, tuned = mark_differences("in 1994", "in 1995")
    assert [piece.text for piece in tuned if piece.differs] == ["1995"]
    assert mark_differences("", "北京")[0] == []


def test_long_answers_are_cut_for_display() -> None:
    assert shortened("长" * 2000) == "长" * 599 + "…"
    base, _ = mark_differences("长" * 5000, "短")
    assert len("".join(piece.text for piece in base)) == 600
