"""Blocks of code are read from Markdown, with what the comments before them say."""

import pytest

from tests.blocks import read_blocks

TEXT = """\
A page.

<!-- ci: --epochs 1; 2, ui: --seeds 1; 3: not run: needs
four GPUs -->

    python -m experiments.ser --root A \\
        --head lda && python -m experiments.epc
    torchrun -m experiments.epc  # on one machine

```python
import json
```

    import json

<!-- ci: not run: hours -->
```bash
python -m experiments.ser
```
"""


def test_blocks_are_read_with_languages_lines_and_remarks():
    shell, fenced, indented, left_out = read_blocks("a.md", TEXT)
    assert [(str(one), one.language) for one in (shell, fenced, indented, left_out)] == [
        ("a.md:6", "bash"),
        ("a.md:11", "python"),
        ("a.md:14", "python"),
        ("a.md:18", "bash"),
    ]
    assert shell.commands == [
        ["python", "-m", "experiments.ser", "--root", "A", "--head", "lda"],
        ["python", "-m", "experiments.epc"],
        ["torchrun", "-m", "experiments.epc"],
    ]
    assert [shell.flags(*names) for names in (("1", "ser"), ("2", "epc"), ("4", "ui"))] == [
        [("--epochs", "1")],
        [("--epochs", "1"), ("--seeds", "1")],
        [("--epochs", "1"), ("--seeds", "1")],
    ]
    assert [shell.reason(), shell.reason("2"), shell.reason("3")] == ["", "", "needs four GPUs"]
    assert left_out.reason() == "hours"


def test_a_block_of_another_language_and_a_comment_before_none_are_errors():
    with pytest.raises(ValueError, match=r"a.md:1: a block of 'ruby', not of bash, python, toml"):
        list(read_blocks("a.md", "```ruby\nputs 1\n```\n"))
    with pytest.raises(ValueError, match=r"a.md:3: a comment for CI is before no block"):
        list(read_blocks("a.md", "<!-- ci: --epochs 1 -->\n\nText.\n"))
