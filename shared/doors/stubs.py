"""What counts as an unwritten door function, read from source: nothing is imported."""

import ast


def is_stub(tree: ast.Module, name: str) -> bool:
    """Whether a module's function is still to be written: absent, or its body only raises NotImplementedError.

    A name that the module imports or assigns is somebody's work, and no stub.
    """
    for node in reversed(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            return _only_raises(node)
        if name in bound_names(node):
            return False
    return not any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body)


def _only_raises(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = [
        node
        for node in function.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    body = [node for node in body if not isinstance(node, ast.Pass)]
    if not body:
        return True
    if len(body) != 1 or not isinstance(body[0], ast.Raise) or body[0].exc is None:
        return False
    raised = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def bound_names(node: ast.stmt) -> set[str]:
    """Names that a top-level statement gives a value, also inside `if` and `try`."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    names: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.split(".")[0] for alias in part.names}
        elif isinstance(part, ast.Assign):
            names |= {target.id for target in part.targets if isinstance(target, ast.Name)}
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
        elif (isinstance(part, (ast.FunctionDef, ast.ClassDef)) and part is not node) or isinstance(
            part, ast.ClassDef
        ):
            names.add(part.name)
    return names
