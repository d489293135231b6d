"""The notebooks as they are committed; tests/e2e/test_notebooks.py runs them."""

import nbformat
import pytest

from settings import PROJECT_DIR

NOTEBOOKS = sorted((PROJECT_DIR / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path) -> None:
    """No output, and so no payment of anybody's lake; valid, with code that compiles."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    for cell in code:
        assert (cell.outputs, cell.execution_count) == ([], None), "clear all outputs before committing"
        compile(cell.source, path.name, "exec")


def test_there_are_four() -> None:
    """Gold, a training set, an evaluation, an audit."""
    assert [path.stem for path in NOTEBOOKS] == ["1-gold", "2-training-set", "3-evaluation", "4-audit"]
