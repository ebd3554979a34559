"""Which cells of a lesson one exercise needs, read from their source: those that bind a name that it uses, or that may
change what the name stands for."""

import ast
import symtable


def needed(lesson, exercise):
    """The code cells, in their order, that the cell checking `exercise` needs, itself the last. SyntaxError if one of
    those before it cannot be read."""
    cells = [cell for cell in lesson.cells if not cell.is_text]
    last = next(place for place, cell in enumerate(cells) if cell.exercise == exercise)
    # blank lines first, so that error messages have the line numbers of the lesson
    names = [Names("\n" * cell.line + cell.source, str(lesson.path)) for cell in cells[:last + 1]]
    found, open_questions = set(), [last]
    while open_questions:
        place = open_questions.pop()
        if place in found:
            continue
        found.add(place)
        asked = {(name, place) for name in names[place].used | names[place].used_later}
        asked |= {(name, last) for name in names[place].used_later}  # a function may be called until the end
        for name, until in asked:
            bound = [k for k in range(until) if name in names[k].bound]
            if bound and name not in names[bound[-1]].imported:
                open_questions += [k for k in range(bound[-1], until) if name in names[k].changed]
            open_questions += bound[-1:]
    return [cells[place] for place in sorted(found)]


class Names:
    """The names of a cell's source.

    bound        by an assignment, an import, a function or a class of the cell's own level
    used         at that level
    used_later   within functions, which look a name up when they are called, and comprehensions
    changed      those whose objects may change: a part of them is assigned, a method is called, or they are passed to a
                 function other than print, show and check
    """

    def __init__(self, source, path):
        tree = ast.parse(source, path)
        level = symtable.symtable(source, path, "exec")
        symbols = level.get_symbols()
        self.bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
        self.imported = {symbol.get_name() for symbol in symbols if symbol.is_imported()}
        self.used = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
        self.used_later = set().union(*map(globals_of, level.get_children()))
        self.changed = set().union(*map(changed_by, statements(tree))) - self.imported


def globals_of(table):
    """The global names that a function, and all within it, refers to."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return own.union(*map(globals_of, table.get_children()))


def statements(tree):
    """All nodes of a syntax tree, but not those within functions."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield from statements(child)


def changed_by(node):
    """The names whose objects one node of a syntax tree may change."""
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        return roots(node)
    if isinstance(node, ast.AugAssign):
        return roots(node.target)
    if isinstance(node, ast.Call):
        harmless = isinstance(node.func, ast.Name) and node.func.id in ("print", "show", "check")
        passed = [] if harmless else [*node.args, *(keyword.value for keyword in node.keywords)]
        return set().union(*map(roots, passed), roots(node.func) if isinstance(node.func, ast.Attribute) else ())
    return set()


def roots(node):
    """{name} of a, a.b, a[0].b, *a; nothing of other expressions"""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
