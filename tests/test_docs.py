"""The pages of the documentation that the code itself holds."""

import pytest

from docs import generate


@pytest.mark.parametrize("place", generate.PAGES)
def test_a_generated_page_is_what_the_code_says(place):
    written = (generate.HERE / place).read_text("utf-8")
    assert generate.PAGES[place]() == written, "run python docs/generate.py"
