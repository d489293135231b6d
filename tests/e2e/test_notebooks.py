"""The notebooks of docs/notebooks, run from the first cell to the last on the tour's lake."""

import nbformat
import pytest
from nbclient import NotebookClient

from settings import PROJECT_DIR

FOLDER = PROJECT_DIR / "docs" / "notebooks"
CELL_S = 300


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(path) -> None:
    """Every cell ends without an error, their assertions among them, and tables are shown."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("text/html" in output.get("data", {}) for output in shown)
