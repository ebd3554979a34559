"""A lesson of a few lines, and a way to make others."""

from tinypredrnn.course.lesson import Lesson

LESSON = '''# %% [markdown]
# # 1. A lesson
#
# - **Idea:** two lines of
#   an idea.
# - **Minutes:** 15

# %%
from tinypredrnn.course import check, size

print("loss", size(0.5, 7.0))
#~ loss 0.55

# %% [markdown]
# ### Exercise 1.1: double

# %%
def double(x):
    # <solution>
    y = x
    return y + x
    # </solution>


check("1.1", lambda: double(3), 6)

# %%
def half(x):
    # <solution>
    return x / 2
    # </solution>


check("1.2", lambda: half(3), 1.5)
print("end")
#> end
'''


def lesson_of(tmp_path, code):
    """A lesson with one cell of code."""
    path = tmp_path / "03_test.py"
    path.write_text(f"# %% [markdown]\n# # 3. Test\n# - **Idea:** one.\n# - **Minutes:** 5\n\n# %%\n{code}")
    return Lesson(path)
