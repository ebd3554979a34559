"""The course as pages: sound HTML that needs nothing from elsewhere, on which everything of a lesson has its place."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tinypredrnn.course.lesson import LESSONS, Cell, lessons
from tinypredrnn.errors import ConfigError

html5lib = pytest.importorskip("html5lib", reason="html5lib of the extra `test` is not installed")
pages = pytest.importorskip("tinypredrnn.course.pages", reason="the extra `pages` is not installed")
rendering = pytest.importorskip("tinypredrnn.course.rendering", reason="the extra `pages` is not installed")

LESSON = '''# %% [markdown]
# # 1. A <lesson> & more
#
# - **Idea:** two lines of
#   an idea.
# - **Minutes:** 15
#
# ## A formula, $x^2$
# In lesson 2, but not in lesson 1 or 7, $a_1 < b$, and
#
# $$\\\\frac{1}{2}$$
#
# | `a` | b |
# |---|---|
# | 1 | 2 |

# %%
import matplotlib.pyplot as plt

from tinypredrnn.course import check, show, size

print("loss <", size(0.5, 7.0))
print("end")
#~ loss < 0.55
#> end

# %% [markdown]
# ### Exercise 1.1: double
# Twice `x`.
#
# *Hint:* add it
# to itself.
#
# Or multiply.
#
# *Hint 2:* by two.

# %%
def double(x):
    # <solution>
    y = x
    return y + x
    # </solution>


check("1.1", lambda: double(3), 6)

# %% [markdown]
# ## A formula, and more
# ```sh
# ls "a"
# ```

# %%
figure, axes = plt.subplots()
axes.set(title=r"$y = \\sigma(x)$", xlabel="x", ylabel="y")
(line,) = axes.plot([0, 1], [0, 1], label="a line")
axes.legend()


def turn(t):
    line.set_ydata([0, t])


show(figure, "still")
show(figure, "moving", turn, frames=3)
'''.replace("\\\\", "\\")


@pytest.fixture
def folder(tmp_path):
    """A folder of two lessons and a text."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/01_a.py").write_text(LESSON)
    second = LESSON[:LESSON.index("# %% [markdown]\n# ### Exercise")].replace("# 1. A", "# 2. Another")
    second = second.replace("end\n", "fin\n")
    (tmp_path / "lessons/02_b.py").write_text(second)
    (tmp_path / "lessons/TEACHERS.md").write_text("# For teachers\n\nSee lesson 1.\n\n## Time\nFour hours.\n")
    return tmp_path / "lessons"


# soundness of all pages

def parsed(path):
    """The tree of a page; the parser is strict, and raises at the first mistake."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(path.read_text(encoding="utf-8"))


def complaints(site):
    """What is wrong with the pages in a folder."""
    trees = {path.name: parsed(path) for path in sorted(site.glob("*.html"))}
    names = {page: [node.get("id") for node in tree.iter() if node.get("id")] for page, tree in trees.items()}
    titles = [tree.findtext(".//title") for tree in trees.values()]
    if len(set(titles)) < len(titles):
        yield f"titles that are not unique: {titles}"
    for page, tree in trees.items():
        nodes = [node for node in tree.iter() if isinstance(node.tag, str)]
        if tree.get("lang") != "en" or len(tree.findall(".//main")) != 1 or len(tree.findall(".//h1")) != 1:
            yield f"{page}: no language, or not one <main> and one <h1>"
        levels = [int(node.tag[1]) for node in nodes if re.fullmatch("h[1-6]", node.tag)]
        if levels[0] != 1 or any(after > before + 1 for before, after in zip(levels, levels[1:])):
            yield f"{page}: a heading skips a level: {levels}"
        if len(set(names[page])) < len(names[page]):
            yield f"{page}: an id stands twice"
        for node in nodes:
            if node.tag in ("script", "iframe", "object", "embed", "style") or node.get("style"):
                yield f"{page}: <{node.tag}>"
            if node.tag == "img" and node.get("alt") is None:
                yield f"{page}: an image without alt"
            if node.tag == "nav" and not node.get("aria-label"):
                yield f"{page}: a <nav> without a name"
            if node.tag == "figure" and not all(image.get("alt") for image in node.iter("img")):
                yield f"{page}: a figure without a description"
            for key in "href", "src", "srcset":
                yield from (f"{page}: {text}" for text in broken(node, node.get(key), page, site, names))


def broken(node, address, page, site, names):
    """What is wrong with an address in a page."""
    if address is None or node.tag == "link" and address == "data:,":
        return
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        if node.tag != "a":
            yield f"{address} is fetched from elsewhere"
        return
    target = unquote(parts.path) or page
    if "/" in target or not (site / target).is_file():
        yield f"{address} leads nowhere"
    elif parts.fragment and parts.fragment not in names[target]:
        yield f"{address} leads to no place of that page"


def test_the_whole_course_is_sound(tmp_path, capsys):
    assert pages.write_pages(LESSONS, tmp_path / "site", run="none") == 0
    assert list(complaints(tmp_path / "site")) == []
    assert "begin with: " in capsys.readouterr().out
    for lesson in lessons():
        text = (tmp_path / "site" / f"{lesson.path.stem}.html").read_text(encoding="utf-8")
        assert text.count('class="solution"') == len(lesson.exercises) <= text.count('class="hint"')
        shown = [name for cell in lesson.cells if not cell.is_text for name in rendering.figure_names(cell)]
        assert text.count('class="missing"') == len(shown) > 0
        assert not re.search(r"\$|\*\*|&lt;/?solution", re.sub(r"<(pre|code).*?</\1>", "", text, flags=re.DOTALL))
        assert "The lesson was not run for this page, so there are no pictures." in text


def test_complaints_are_found(tmp_path):
    """The checks above can fail."""
    (tmp_path / "a.html").write_text(
        '<!DOCTYPE html><html lang="en"><head><title>a</title></head><body><main><h1 id="a">a</h1><h3 id="a">b</h3>'
        '<img src="b.png"><script src="https://x.org/a.js"></script><a href="#b">c</a></main></body></html>')
    found = "\n".join(complaints(tmp_path))
    for words in ("skips a level", "stands twice", "without alt", "<script>", "b.png leads nowhere",
                  "fetched from elsewhere", "#b leads to no place"):
        assert words in found


def test_colours_have_contrast():
    """4.5 to 1 between each colour of text and what it may stand on, light and dark (WCAG 2, AA)."""
    style = (Path(pages.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", block))
                   for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    assert light.keys() == dark.keys() and len(light) > 10 and "url(" not in style and "@import" not in style
    for colours in light, dark:
        for text in ("ink", "faint", "link", "accent", "keyword", "string", "number", "comment", "name"):
            for ground in ("paper", "panel", "output") + (("hint",) if text != "faint" else ()):
                lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{text} on {ground}"


def luminance(colour):
    parts = [int(colour[k:k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


# what is on a page

def test_a_lesson_is_run_and_shown(folder, tmp_path, capsys):
    """Its pictures, output, hints and solutions; where the run printed something else, that stands there as well."""
    assert pages.write_pages(folder, tmp_path / "site", run="small") == 1
    assert list(complaints(tmp_path / "site")) == []
    assert "1 A <lesson> & more" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert names == {".tinypredrnn.json", ".lock", "index.html", "style.css", "01_a.html", "02_b.html", "teachers.html",
                     "01_a-still.png", "01_a-moving.png", "01_a-moving.gif"}
    first, second, teachers, index = ((tmp_path / "site" / name).read_text(encoding="utf-8")
                                      for name in ("01_a.html", "02_b.html", "teachers.html", "index.html"))
    assert "<h1>1. A &lt;lesson&gt; &amp; more</h1>" in first
    assert '<h2 id="a-formula-x-2">A formula, <span class="math' in first
    assert 'In <a href="02_b.html">lesson 2</a>, but not in lesson 1 or 7' in first
    assert '<a href="01_a.html">lesson 1</a>' in second and '<a href="01_a.html">lesson 1</a>' in teachers
    assert '<samp><span data-mark="~">loss &lt; 0.55</span>\nend</samp></pre>' in first
    assert "<mfrac>" in first and first.count("<table>") == 1 and '"a"' in re.sub("&quot;", '"', first)
    assert '<summary>Hint</summary>\n<p>Add it\nto itself.</p>\n<p>Or multiply.</p>\n</details>' in first
    assert '<details class="hint"><summary>Hint 2</summary>\n<p>By two.</p>\n</details>' in first
    plain = re.sub("<span.*?>|</span>", "", first)
    before, solution, after = re.split("<summary>Solution</summary>|</details>(?=\n</div>\n<h2)", plain)
    assert "y = x\nreturn y + x" in solution and "y + x" not in before + after and "    ...  # your code" in before
    alt = "y = σ(x): y over x: a line"
    assert f'<figure><img src="01_a-still.png" alt="{alt}"' in first
    assert (f'<source media="(prefers-reduced-motion: reduce)" srcset="01_a-moving.png"><img src="01_a-moving.gif" '
            f'alt="{alt}"' in first)
    assert '<details class="drawing"><summary>Code of the picture' in first
    assert "pictures show less than the text says; it printed the same.</p>" in first and "marked ~" in first
    assert "it printed something else here:</p>" in second and "marked ?" not in second
    assert "expected &#39;fin&#39;, printed &#39;end&#39;" in second
    assert '<h2 id="time">Time</h2>' in teachers and "Two lines of an idea." in index
    assert index.index("01_a.html") < index.index("02_b.html") < index.index("teachers.html")


def test_a_lesson_that_ends_with_an_error_says_so(folder, tmp_path, capsys):
    (folder / "02_b.py").write_text(LESSON.replace("size(0.5, 7.0)", "1 / 0"))
    (folder / "01_a.py").unlink()
    assert pages.write_pages(folder, tmp_path / "site", run="small") == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().out
    assert "ZeroDivisionError: division by zero" in (tmp_path / "site/02_b.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("tex", [r"\nope{x}", r"\begin{aligned} a &= b \end{aligned}"])
def test_formulas_that_cannot_be_shown_are_refused(folder, tmp_path, tex):
    with pytest.raises(rendering.FormulaError, match="write it otherwise"):
        rendering.as_html(f"${tex}$", {})
    (folder / "02_b.py").write_text(LESSON.replace("x^2", tex))
    with pytest.raises(ConfigError, match="02_b.py: the formula"):
        pages.write_pages(folder, tmp_path / "site", run="none")


def test_markup_of_markdown_is_text():
    """A lesson, or a reader's copy of one, is no way to bring a script into a page."""
    markdown = '<script>alert(1)</script> <img src=x onerror="y"> [a](javascript:alert(1))\n\n<b>bold</b>'
    text, _ = rendering.as_html(markdown, {})
    assert "<script" not in text and "<img" not in text and 'href="javascript' not in text and "&lt;b&gt;" in text


def test_a_lesson_that_is_named_becomes_a_link():
    markdown = "# A\n\n## Lesson 2, once more\n[lesson 2](a.html), *lesson 2*, `lesson 2`, sublesson 2, lessons 2"
    text, contents = rendering.as_html(markdown, {"2": "b.html"})
    assert contents == [(2, "lesson-2-once-more", "Lesson 2, once more")] and text.count("b.html") == 2
    assert '<a href="a.html">lesson 2</a>, <em><a href="b.html">lesson 2</a></em>' in text


def test_cells_of_several_kinds():
    def cell(code):
        return Cell("# %%\n" + code, 0)

    calls = 'show(draw("a", "b"), "name")\nshow(x, "other", update,\n     frames=3)\nax.imshow(x, "no")\n'
    assert rendering.figure_names(cell(calls)) == ["name", "other"]
    assert rendering.figure_names(cell("def broken(:\n")) == [] == rendering.figure_names(cell("show(figure, name)\n"))
    assert "<details" not in rendering.cell_as_html(cell('show(draw("a"), "name")\n'), {})
    text = rendering.cell_as_html(cell('a = 1\nb = 2\nc = 3\nd = 4\nshow(x, "name")\nprint(a)\n#> 1\n'), {})
    assert "<details" not in text and "name, not drawn yet" in text


# the folder

def test_pages_are_written_again_and_nothing_else_is_touched(folder, tmp_path, capsys):
    site = tmp_path / "site"
    pages.write_pages(folder, site, run="none")
    before = {path.name: path.read_bytes() for path in site.iterdir() if path.suffix}
    (site / "mine.txt").write_text("mine")
    (site / "style.css").write_text("changed by the reader")
    (folder / "02_b.py").unlink()
    pages.write_pages(folder, site, run="none")
    assert (site / "mine.txt").read_text() == "mine"
    assert (site / "style-kept.css").read_text() == "changed by the reader"
    assert (site / "style.css").read_bytes() == before["style.css"] and not (site / "02_b.html").exists()


def test_folders_that_are_not_ours_are_refused(folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/index.html").write_text("mine")
    for target, words in ((tmp_path / "full", "holds files and no pages of ours"), (folder / "01_a.py", "not a folder"),
                          (folder, "holds files and no pages of ours")):
        with pytest.raises(ConfigError, match=words):
            pages.write_pages(folder, target, run="none")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["index.html"]
    assert (tmp_path / "full/index.html").read_text() == "mine"


def test_an_error_leaves_the_pages_as_they_were(folder, tmp_path):
    site = tmp_path / "site"
    pages.write_pages(folder, site, run="none")
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    (folder / "02_b.py").write_text(LESSON.replace("x^2", r"\nope"))
    with pytest.raises(ConfigError):
        pages.write_pages(folder, site, run="none")
    assert {path.name: path.read_bytes() for path in site.iterdir()} == before


# the command

def test_the_command(folder, tmp_path):
    words = [sys.executable, "-m", "tinypredrnn.course", "--folder", str(folder), "pages"]
    done = subprocess.run([*words, str(tmp_path / "a site"), "--run", "none"], capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "a site/index.html").is_file(), done.stderr
    done = subprocess.run([*words, str(folder)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no pages of ours" in done.stderr


@pytest.mark.parametrize("command", ["pages", "notebooks"])
def test_a_missing_extra_is_one_sentence(tmp_path, command):
    code = ("import sys; sys.modules['markdown_it'] = None; from tinypredrnn.course.__main__ import main\n"
            "from tinypredrnn.errors import command; sys.exit(command(main))")
    done = subprocess.run([sys.executable, "-c", code, command, str(tmp_path / "x")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the package markdown_it, which is not installed: `pip install jinja2 markdown-it-py" in done.stderr


# a browser

BROWSERS = "chromium", "chromium-browser", "google-chrome", "chrome", "msedge"


def test_a_browser_shows_the_pages(tmp_path):
    """Headless Chromium, wide and narrow, light and dark: no message in its console, nothing fetched from elsewhere,
    nothing wider than the window, formulas drawn, and keys that lead where they should."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is missing")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        pytest.skip(f"no browser found: none of {', '.join(BROWSERS)}")
    site = tmp_path / "site"
    pages.write_pages(LESSONS, site, run="none")
    found, every_page = [], sorted(path.name for path in site.glob("*.html"))
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"] if os.name == "posix" else [])
        for width, scheme, names in ((1400, "light", ["index.html"]), (360, "dark", every_page)):
            page = running.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.set_default_timeout(0)  # a busy machine is no mistake of a page
            page.on("console", lambda message: found.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: found.append(str(error)))
            page.on("request", lambda request: request.url.startswith(("file:", "data:")) or found.append(request.url))
            # a picture that is still loading as the next page is opened is given up
            page.on("requestfailed", lambda request: "ERR_ABORTED" in str(request.failure)
                    or found.append(f"failed: {request.url}, {request.failure}"))
            for name in names:
                page.goto((site / name).as_uri())
                too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
                found.extend([f"{name} is wider than {width} pixels"] * too_wide)
            page.goto((site / "06_convolution.html").as_uri())
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", ground))) > 384) == (scheme == "light")
            sum_sign, indices = page.evaluate("[...document.querySelector('math[display=block] munder').children]"
                                              ".map(part => part.getBoundingClientRect().top)")
            assert sum_sign < indices  # which stand below it: MathML is understood
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip"
            page.keyboard.press("Enter")
            assert page.evaluate("location.hash") == "#main" == "#" + page.evaluate("document.activeElement.id")
            page.locator(".hint summary").first.focus()
            page.keyboard.press("Enter")
            assert page.locator(".hint p").first.is_visible() and not page.locator(".solution pre").first.is_visible()
            page.locator("main a[rel=next]").click()
            assert page.url.endswith("07_backend.html")
            page.close()
        running.close()
    assert found == []
