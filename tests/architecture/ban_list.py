"""What core and the stages may not do, because two runs could then differ: functions from source text to violations.

test_ban_list.py runs them over the project and over planted lines.
"""

from __future__ import annotations

import ast

from tests.architecture.rooms import STAGES

PURE = {"engine.core", "engine.recovery", "engine.witness", "engine.closing", *STAGES}

MODULES_BANNED = {
    "time", "random", "uuid", "secrets", "asyncio", "logging", "structlog", "socket", "ssl", "select", "threading",
    "multiprocessing", "concurrent", "subprocess", "signal", "tempfile", "importlib", "numpy.random", "numpy.linalg",
    "numpy.fft",
}  # fmt: skip
# sqrt, rounding, classification and whole numbers are exact; all else in `math` differs between C libraries.
MATH_ALLOWED = {
    "sqrt", "floor", "ceil", "trunc", "fabs", "copysign", "isnan", "isinf", "isfinite", "isqrt", "gcd", "lcm", "comb",
    "factorial", "frexp", "ldexp", "inf", "nan", "pi", "e",
}  # fmt: skip
NUMPY_BANNED = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "power", "float_power", "pow", "cbrt", "sin",
    "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "arcsinh", "arccosh", "arctanh",
    "hypot", "dot", "vdot", "vecdot", "inner", "matmul", "tensordot", "einsum", "corrcoef", "cov", "correlate",
    "convolve", "polyfit", "linalg", "fft", "random",
}  # fmt: skip
METHODS_BANNED = {
    "now": "a wall clock", "utcnow": "a wall clock", "today": "a wall clock", "dot": "BLAS", "read_text": "a file",
    "read_bytes": "a file", "write_text": "a file", "write_bytes": "a file", "open": "a file",
}  # fmt: skip
BUILTINS_BANNED = {
    "open": "a file", "input": "a terminal", "sum": "an order of summation that is not written down",
    "hash": "a hash that differs from process to process", "id": "an address",
}  # fmt: skip
ENVIRONMENT = {"environ", "getenv", "urandom", "getpid"}
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "prange"}
ORDERED_BY_ITERATION = {"list", "tuple", "enumerate", "iter", "map", "filter", "zip", "array", "fromiter", "join"}

# (file, rule) -> why it may. A line that nothing needs any more fails the test.
EXCEPTIONS = {
    ("engine/core/kernel.py", "a file"): "reads every kernel source once, at import, to name the compilation cache",
    ("engine/core/kernel.py", "the environment"): "the place of the compilation cache; no result depends on it",
    ("engine/core/kernel.py", "a compiler flag or decorator"): "the one place where kernels are compiled",
    ("engine/core/words.py", "the builtin sum()"): "adds single bits of a Python integer; exact in any order",
}


def dotted(node: ast.expr) -> str:
    """`np.linalg.norm` of an attribute chain; `?` for what is no plain name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def called(node: ast.Call) -> str:
    return dotted(node.func)


class BanList(ast.NodeVisitor):
    """Collects (line, rule, what) for everything in a module that could make two runs differ."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str, str]] = []
        self.aliases: dict[str, str] = {}  # local name -> full name, for whatever was imported
        self.defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.sets: set[str] = set()  # names that hold a set somewhere in the module
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    self.aliases[name.asname or name.name.split(".")[0]] = (
                        name.name if name.asname else name.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    self.aliases[name.asname or name.name] = f"{node.module}.{name.name}"
            elif isinstance(node, ast.Assign) and self.is_set(node.value):
                self.sets |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and node.value and self.is_set(node.value):
                self.sets |= {dotted(node.target)}
        self.visit(tree)

    def add(self, node: ast.AST, rule: str, what: str) -> None:
        self.found.append((getattr(node, "lineno", 0), rule, what))

    def is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            return called(node) in {"set", "frozenset"}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self.is_set(node.left) or self.is_set(node.right)
        return isinstance(node, ast.Name) and node.id in self.sets

    def full_name(self, node: ast.expr) -> str:
        """Name with import aliases resolved: `np.exp` -> `numpy.exp`."""
        head, _, rest = dotted(node).partition(".")
        head = self.aliases.get(head, head)
        return f"{head}.{rest}" if rest else head

    def check_name(self, node: ast.AST, name: str) -> None:
        package, _, rest = name.partition(".")
        leaf = rest.split(".")[0]
        if any(name == banned or name.startswith(f"{banned}.") for banned in MODULES_BANNED):
            self.add(node, "a banned module", name)
        elif leaf in NUMPY_BANNED if package == "numpy" else package == "math" and leaf and leaf not in MATH_ALLOWED:
            self.add(node, "a function that is not portable", name)
        elif package == "numba" and name.split(".")[-1] in COMPILERS:
            self.add(node, "a compiler flag or decorator", name)
        elif package == "os" and leaf in ENVIRONMENT:
            self.add(node, "the environment", name)
        elif rest == "*":
            self.add(node, "a banned module", f"everything from {package}")

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self.check_name(node, name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            for name in node.names:
                self.check_name(node, f"{node.module}.{name.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.full_name(node)
        if name.split(".")[0] in {"math", "numpy", "numba", "os"}:
            self.check_name(node, name)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self.full_name(node.func)
        leaf = name.split(".")[-1]
        if isinstance(node.func, ast.Name) and node.func.id not in self.defined:
            if node.func.id in BUILTINS_BANNED and node.func.id not in self.aliases:
                rule = "a file" if node.func.id == "open" else f"the builtin {node.func.id}()"
                self.add(node, rule, BUILTINS_BANNED[node.func.id])
            if node.func.id == "pow" and "pow" not in self.aliases:
                self.add(node, "a function that is not portable", "pow()")
        if isinstance(node.func, ast.Attribute) and leaf in METHODS_BANNED and not name.startswith("numpy."):
            rule = METHODS_BANNED[leaf]
            self.add(node, rule, f".{leaf}()")
        if leaf in ORDERED_BY_ITERATION or dotted(node.func).endswith("?.join"):
            for argument in node.args:
                self.check_order(argument)
        for keyword in node.keywords:
            if keyword.arg in {"fastmath", "parallel"}:
                self.add(node, "a compiler flag or decorator", f"{keyword.arg}=")
        self.generic_visit(node)

    def check_order(self, node: ast.expr) -> None:
        if self.is_set(node):
            self.add(node, "iteration over a set", "use sorted(...) or a dict")

    def visit_For(self, node: ast.For) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.check_order(node.value)
        self.generic_visit(node)

    def check_operator(self, node: ast.AST, operator: ast.operator, left: ast.expr, right: ast.expr) -> None:
        if isinstance(operator, ast.MatMult):
            self.add(node, "BLAS", "@")
        if isinstance(operator, ast.Pow) and not is_integer(right) and not is_integer(left):
            self.add(node, "a function that is not portable", "** with an exponent that is no integer literal")
        if isinstance(operator, ast.Pow) and isinstance(right, ast.Constant) and isinstance(right.value, float):
            self.add(node, "a function that is not portable", "** with a real exponent")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.check_operator(node, node.op, node.left, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.check_operator(node, node.op, node.target, node.value)
        self.generic_visit(node)


def is_integer(node: ast.expr) -> bool:
    """An integer literal, perhaps negative. With an integer base, as in 10**decimals, any whole exponent is exact."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) is int


def ban_violations(path: str, source: str, used: set[tuple[str, str]] | None = None) -> list[str]:
    """What a pure module may not do. used: collects the exceptions that were needed."""
    found = []
    for line, rule, what in BanList(ast.parse(source)).found:
        if (path, rule) in EXCEPTIONS:
            if used is not None:
                used.add((path, rule))
        else:
            found.append(f"{path}:{line} {rule}: {what}")
    return found


def kernels_with_wrong_flags(kernels: list[object]) -> list[str]:
    """Kernels compiled with fastmath or parallel, whose bits depend on the machine."""
    wrong = []
    for kernel in kernels:
        options = kernel.targetoptions  # type: ignore[attr-defined]
        if options.get("fastmath", False) or options.get("parallel", False):
            wrong.append(f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}")  # type: ignore[attr-defined]
    return wrong
