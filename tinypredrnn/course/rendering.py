"""A lesson as HTML: Markdown by markdown-it, formulas as MathML by latex2mathml, code by Pygments; hints, solutions and
the code of drawings are folded.

A lesson becomes one Markdown document in which each code cell is a fence (```cell 7), so that headings, links and hints
are found in the whole lesson at once.
"""

import ast
import re
from html import escape
from typing import NamedTuple

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from tinypredrnn.course.lesson import with_holes

HINT = re.compile(r"(Hint(?: \d+)?):")
LESSON = re.compile(r"\b[Ll]esson (\d+)\b")
SHORT = 3  # lines: a drawing of so little code is not folded


class Figure(NamedTuple):
    """A picture of a lesson: its file beside the page, what it shows in words, its size in pixels; `still` is the file
    of a picture for readers who do not want it to move."""

    file: str
    alt: str
    width: int
    height: int
    still: str = ""


def lesson_as_html(lesson, figures, addresses):
    """(HTML, contents) of a lesson.

    figures     {name: Figure} of those that were drawn
    addresses   {number of a lesson: address of its page}, so that "lesson 4" becomes a link
    contents    [(level, id, title as HTML)] of its headings below the title
    """
    document = "\n\n".join(cell.prose if cell.is_text else f"```cell {index}\n```"
                           for index, cell in enumerate(lesson.cells))
    others = {number: address for number, address in addresses.items() if number != lesson.number}
    return as_html(document, others, lambda index: cell_as_html(lesson.cells[index], figures))


def as_html(markdown, addresses, cell=None):
    """(HTML, contents) of Markdown; `cell` gives the HTML of the code cell of an index."""
    tokens = MARKDOWN.parse(markdown)
    contents = name_headings(tokens)
    for token in tokens:
        if token.type == "fence" and cell and (found := re.fullmatch(r"cell (\d+)", token.info)):
            token.type, token.content = "html_block", cell(int(found[1]))
        if token.type == "inline":
            token.children = with_links(token.children, addresses)
    return MARKDOWN.renderer.render(fold_hints(tokens), MARKDOWN.options, {}), contents


# Markdown

class FormulaError(ValueError):
    """A formula that cannot be shown."""


def formula(tex, options):
    """MathML of a formula in TeX."""
    found = convert(tex, display="block" if options["display_mode"] else "inline")
    if unknown := re.search(r"\\\w+|>&(amp;)?<", found):  # latex2mathml passes on what it does not know
        raise FormulaError(f"the formula ${tex}$ has {unknown[0]!r}, which does not become MathML: write it otherwise")
    return found


def coloured(code, language="python", _=None):
    """A listing as HTML."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    inner = highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return f'<pre class="code" tabindex="0"><code>{inner}</code></pre>\n'


def markdown():
    parser = MarkdownIt("commonmark", {"html": False, "highlight": coloured}).enable("table")
    parser.use(dollarmath_plugin, allow_space=False, double_inline=True, renderer=formula)
    # a wide table scrolls by itself
    parser.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


MARKDOWN = markdown()


def with_links(tokens, addresses):
    """Inline tokens in which "lesson 4" is a link, except within another link."""
    parts, depth = [], 0

    def put(kind, content):
        parts.extend([Token(kind, "", 0, content=content)] * bool(content))

    for token in tokens:
        depth += token.nesting * token.type.startswith("link")
        if token.type != "text":
            parts.append(token)
            continue
        end = 0
        for found in LESSON.finditer(token.content):
            if found[1] in addresses and not depth:
                put("text", token.content[end:found.start()])
                put("html_inline", f'<a href="{escape(addresses[found[1]])}">{found[0]}</a>')
                end = found.end()
        put("text", token.content[end:])
    return parts


def name_headings(tokens):
    """Give each heading below the title an id; returns [(level, id, title as HTML)]."""
    contents, taken = [], set()
    for token, title in zip(tokens, tokens[1:]):
        if token.type == "heading_open" and token.tag != "h1":
            name = slug = re.sub(r"\W+", "-", title.content.split(":")[0].lower()).strip("-")
            number = 1
            while name in taken:
                number += 1
                name = f"{slug}-{number}"
            taken.add(name)
            token.attrSet("id", name)
            plain = [child for child in title.children if not child.type.startswith("link")]
            contents.append((int(token.tag[1]), name, MARKDOWN.renderer.renderInline(plain, MARKDOWN.options, {})))
    return contents


def fold_hints(tokens):
    """Put each hint, from `*Hint:*` to the next heading, code cell or hint, between <details> and </details>."""
    folded, is_open = [], False
    for position, token in enumerate(tokens):
        hint = hint_in(tokens[position + 1]) if token.type == "paragraph_open" and token.level == 0 else None
        if is_open and (hint or token.level == 0 and token.type in ("heading_open", "html_block", "fence")):
            folded.append(Token("html_block", "", 0, content="</details>\n"))
            is_open = False
        if hint:
            folded.append(Token("html_block", "", 0, content=f'<details class="hint"><summary>{hint}</summary>\n'))
            is_open = True
        folded.append(token)
    return folded + [Token("html_block", "", 0, content="</details>\n")] * is_open


def hint_in(inline):
    """"Hint" if a paragraph begins with `*Hint:*`, which is then taken out of it."""
    if [child.type for child in inline.children[:3]] == ["em_open", "text", "em_close"]:
        if found := HINT.fullmatch(inline.children[1].content):
            inline.children = inline.children[3:]
            if inline.children and inline.children[0].type == "text":
                inline.children[0].content = capital(inline.children[0].content.lstrip())
            return found[1]
    return None


def capital(text):
    """Text whose first letter is a capital one."""
    return text[:1].upper() + text[1:]


# code cells

def cell_as_html(cell, figures):
    """The code of a cell, what it prints, its figures, and the solution if it has one."""
    listing = coloured(with_holes(cell.code + "\n"))
    if draws_only(cell):
        listing = f'<details class="drawing"><summary>Code of the picture</summary>\n{listing}</details>\n'
    parts = [listing, output(cell)]
    parts += [picture(figures[name]) if name in figures else f'<p class="missing">Picture: {name}, not drawn yet</p>\n'
              for name in figure_names(cell)]
    if cell.solutions:
        solution = coloured("\n\n".join(cell.solutions))
        parts.append(f'<details class="solution"><summary>Solution</summary>\n{solution}</details>\n')
    return f'<div class="cell">\n{"".join(parts)}</div>\n'


def figure_names(cell):
    """The names of the figures that a code cell shows."""
    try:
        calls = [node for node in ast.walk(ast.parse(cell.code)) if isinstance(node, ast.Call)]
    except SyntaxError:  # in a reader's copy; it draws nothing
        return []
    return [call.args[1].value for call in calls if getattr(call.func, "id", None) == "show"
            and len(call.args) > 1 and isinstance(call.args[1], ast.Constant)]


def draws_only(cell):
    """Whether a code cell is there for its figure, and its code need not be read."""
    return bool(figure_names(cell)) and not cell.expected and not cell.exercise and cell.code.count("\n") >= SHORT


def output(cell):
    """What a cell prints, as the lesson announces it. Lines whose numbers vary keep their mark."""
    if not cell.expected:
        return ""
    lines = [escape(line) if mark == ">" else f'<span data-mark="{mark}">{escape(line)}</span>'
             for mark, line in cell.expected]
    start = '<pre class="output" tabindex="0" role="group" aria-label="Output">'
    return f"{start}<samp>{chr(10).join(lines)}</samp></pre>\n"


def picture(figure):
    image = (f'<img src="{figure.file}" alt="{escape(figure.alt)}" width="{figure.width}" height="{figure.height}" '
             'loading="lazy">')
    if figure.still:
        image = (f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{figure.still}">{image}</picture>')
    return f"<figure>{image}</figure>\n"
