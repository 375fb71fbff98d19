"""Source: a file of the user's as a tree, and edits of it as small as they can be."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from chainrule.answer import Answer


@dataclass(frozen=True)
class Edit(Answer):
    """One piece of a file replaced by another.

    Attributes:
        file: path.
        line, column: where the piece begins; lines from 1, columns (in bytes) from 0.
        end_line, end_column: where it ends.
        text: what stands there afterwards.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class Source:
    """A Python file.

    Examples:
        >>> source = Source("train.py", "net = make(3)\\n")
        >>> [source.text_of(node) for node in source.calls("make")]
        ['make(3)']
    """

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.lines = text.encode().splitlines(keepends=True)
        self.tree = ast.parse(text)
        self._parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node that holds this one."""
        return self._parents.get(node)

    def text_of(self, node: ast.AST) -> str:
        """Its source."""
        return ast.get_source_segment(self.text, node) or ""

    def calls(self, *names: str) -> list[ast.Call]:
        """Calls of functions or methods of these names, in the order of the file; all without."""
        found = [
            node for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and (not names or called(node) in names)
        ]  # fmt: skip
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def references(self, *names: str) -> list[ast.expr]:
        """Functions and classes of these names, called or not, in the order of the file."""
        found = [
            node for node in ast.walk(self.tree)
            if (isinstance(node, ast.Attribute) and node.attr in names)
            or (isinstance(node, ast.Name) and node.id in names)
        ]  # fmt: skip
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def behind(self, node: ast.expr, text: str) -> Edit:
        """Something inserted behind an expression."""
        line, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return Edit(self.file, line, column, line, column, text)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The statement that a node is part of."""
        current: ast.AST | None = node
        while current is not None and not isinstance(current, ast.stmt):
            current = self.parent(current)
        return current

    def trains(self, line: int) -> bool:
        """Whether a line is of a network's ``forward``, or of a loop that calls ``backward``."""
        around: ast.AST | None = self.statement_at(line)
        while around is not None:
            if isinstance(around, ast.FunctionDef) and around.name == "forward":
                return True
            if isinstance(around, ast.For | ast.While) and ".backward(" in self.text_of(around):
                return True
            around = self.parent(around)
        return False

    def statement_at(self, line: int) -> ast.stmt | None:
        """The innermost statement that covers a line."""
        found = [
            node for node in ast.walk(self.tree)
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
        ]  # fmt: skip
        return max(found, key=lambda node: (node.lineno, -(node.end_lineno or 0)), default=None)

    def call_at(self, line: int, *names: str) -> ast.Call | None:
        """The call that covers a line, the outermost that begins last."""
        found = [
            node
            for node in self.calls(*names)
            if node.lineno <= line <= (node.end_lineno or node.lineno)
        ]
        return min(found, key=lambda node: (line - node.lineno, node.col_offset), default=None)

    # -- edits

    def replace(self, node: ast.AST, text: str) -> Edit:
        """An expression or statement replaced."""
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        return Edit(
            self.file, node.lineno, node.col_offset, node.end_lineno or node.lineno,
            node.end_col_offset or 0, text,
        )  # fmt: skip

    def before(self, statement: ast.stmt, text: str) -> Edit:
        """A line of its own before a statement, with its indentation."""
        line, column = statement.lineno, statement.col_offset
        indent = self.lines[line - 1][:column].decode()
        if indent.strip():  # behind a colon or semicolon on the same line
            return Edit(self.file, line, column, line, column, f"{text}; ")
        return Edit(self.file, line, column, line, column, f"{text}\n{indent}")

    def lines_before(self, statement: ast.stmt, lines: Sequence[str]) -> tuple[Edit, ...]:
        """Lines of their own before a statement."""
        indent = self.lines[statement.lineno - 1][: statement.col_offset].decode()
        return (self.before(statement, f"\n{indent}".join(lines)),)

    def outermost_loop(self, node: ast.AST) -> ast.stmt | None:
        """The outermost loop around a node, within its function."""
        found: ast.stmt | None = None
        current: ast.AST | None = node
        while current is not None and not isinstance(current, ast.FunctionDef):
            if isinstance(current, ast.For | ast.While):
                found = current
            current = self.parent(current)
        return found

    def after(self, statement: ast.stmt, text: str) -> Edit:
        """A line of its own after a statement, with its indentation."""
        indent = self.lines[statement.lineno - 1][: statement.col_offset].decode()
        line, column = statement.end_lineno or statement.lineno, statement.end_col_offset or 0
        return Edit(self.file, line, column, line, column, f"\n{indent}{text}")

    # -- where a number comes from

    def literal(self, node: ast.expr | None, depth: int = 0) -> ast.expr | None:
        """The number that an expression takes its value from, where that is one place in the file.

        A literal itself; a variable, attribute or key that is set once to a literal, also as a
        default of an argument, of ``add_argument`` or of a dataclass.
        """
        if node is None or depth > 3:
            return None
        if is_number(node):
            return node
        name = _name(node)
        if not name:
            return None
        found = list(self._settings(name))
        numbers = [item for item in found if is_number(item)]
        if len(numbers) == 1:
            return numbers[0]
        if not numbers and len(found) == 1:
            return self.literal(found[0], depth + 1)
        return None

    def _settings(self, name: str) -> Iterator[ast.expr]:
        """All that is assigned to a name, wherever."""
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Assign) and any(_name(item) == name for item in node.targets)
            ) or (isinstance(node, ast.AnnAssign) and _name(node.target) == name and node.value):
                yield node.value  # type: ignore[misc]
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name:
                        yield value
            elif isinstance(node, ast.Call):
                yield from _of_call(node, name)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _defaults(node, name)


def _of_call(node: ast.Call, name: str) -> Iterator[ast.expr]:
    """``add_argument("--name", default=...)``, and keywords of configurations."""
    words = [item.value for item in node.args if isinstance(item, ast.Constant)]
    flags = [str(word).lstrip("-").replace("-", "_") for word in words if isinstance(word, str)]
    if called(node) == "add_argument" and name in flags:
        yield from (item.value for item in node.keywords if item.arg == "default")
    elif called(node)[:1].isupper() or called(node) in ("dict", "Namespace"):
        yield from (
            item.value for item in node.keywords if item.arg == name and is_number(item.value)
        )


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[ast.expr]:
    names = [*node.args.posonlyargs, *node.args.args]
    for argument, value in zip(reversed(names), reversed(node.args.defaults), strict=False):
        if argument.arg == name:
            yield value
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if argument.arg == name and default is not None:
            yield default


def is_number(node: ast.AST | None) -> bool:
    """Whether a node is a literal number, or a power or product of such."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def called(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    return _name(node.func)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return ""


@lru_cache(maxsize=64)
def read_source(file: str) -> Source | None:
    """A file as it is now; None where it cannot be read."""
    try:
        return Source(file, Path(file).read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def applied(text: str, edits: Sequence[Edit]) -> str:
    """A text with edits made, from the last to the first.

    Examples:
        >>> applied("lr = 10\\n", [Edit("", 1, 5, 1, 7, "0.1")])
        'lr = 0.1\\n'
    """
    lines = text.encode().splitlines(keepends=True)
    for edit in sorted(set(edits), key=lambda item: (item.line, item.column), reverse=True):
        first, last = lines[edit.line - 1], lines[edit.end_line - 1]
        joined = first[: edit.column] + edit.text.encode() + last[edit.end_column :]
        lines[edit.line - 1 : edit.end_line] = joined.splitlines(keepends=True)
    return b"".join(lines).decode()


def diff(file: str, before: str, after: str) -> str:
    """A unified diff.

    Examples:
        >>> print(diff("a.py", "x = 1\\n", "x = 2\\n").splitlines()[-1])
        +x = 2
    """
    return "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True),
            f"a/{file}", f"b/{file}",
        )
    )  # fmt: skip
