"""What the tests of the course share."""

import pytest
from small_lesson import LESSON


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_LESSONS", "small")  # and what a run sets is undone


@pytest.fixture
def folder(tmp_path):
    """A folder of two lessons."""
    (tmp_path / "01_a_lesson.py").write_text(LESSON)
    (tmp_path / "02_another.py").write_text(LESSON.replace("# 1. A", "# 2. Another").replace('"1.', '"2.'))
    (tmp_path / "notes.py").write_text("no lesson")
    return tmp_path
