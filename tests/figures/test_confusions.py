"""The picture of a confusion matrix."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from conversation_emotion.figures.confusions import draw_confusions

LABELS = ("disappointed", "happy")


def test_cells_show_the_share_of_the_target_and_the_count():
    figure = draw_confusions(np.array([[1, 3], [0, 0]]), LABELS, "fold 1")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["25%\n1", "75%\n3", "0%\n0", "0%\n0"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.25, 0.75], [0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == [*LABELS]


def test_all_that_is_written_lies_inside_the_picture():
    figure = draw_confusions(np.eye(7, dtype=np.int64), ("surprised", *"abcdef"), "Ses01-seed0")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    outside = [
        text.get_text()
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
        for box in [text.get_window_extent(canvas.get_renderer())]
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1
    ]
    assert outside == []
