"""Groups of targets: scored alone, tested against the others, missing ones counted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from conversation_emotion.evaluation.concordance import jackknife_regression
from conversation_emotion.evaluation.groups import (
    GroupScore,
    Measure,
    check_columns,
    correct,
    describe_groups,
    score_groups,
    stratify,
)
from conversation_emotion.evaluation.metrics import jackknife_classes

LABELS = ("no", "yes")

CLASSES = Measure(
    metric="pooled_uar",
    jackknife=lambda table: jackknife_classes(table, len(LABELS), ["uar"]),
    labels=LABELS,
)


def make_table(num_wrong: dict[str, list[int]], num_targets: int = 20) -> pd.DataFrame:
    """Makes speakers by gender, each with so many wrong of the targets, of either class alike."""
    rows = [
        {
            "utterance_id": f"{gender}{speaker}-{number}",
            "cluster": f"speaker {gender}{speaker}",
            **{"fold": f"{gender}{speaker}", "seed": 0, "gender": gender},
            "target": number % 2,
            "predicted": (number + (number < wrong)) % 2,
        }
        for gender, all_wrong in num_wrong.items()
        for speaker, wrong in enumerate(all_wrong)
        for number in range(num_targets)
    ]
    return pd.DataFrame(rows)


def find(scores: list[GroupScore], value: str) -> GroupScore:
    return next(one for one in scores if one.group.value == value)


def test_a_group_is_scored_over_all_folds_and_differs_from_the_others_by_a_welch_test():
    wrong = {"female": [2, 4, 6, 8], "male": [6, 8, 8, 12, 16]}
    scores = score_groups(make_table(wrong), ["gender"], CLASSES)
    rates = {gender: 1 - np.array(ones) / 20 for gender, ones in wrong.items()}
    for one in scores:
        assert one.metrics["pooled_uar"].score == pytest.approx(rates[one.group.value].mean())
    _, expected = ttest_ind(rates["female"], rates["male"], equal_var=False)
    female = find(scores, "female")
    assert female.metrics["difference"].score == pytest.approx(0.75 - 0.5)
    # The degrees of freedom are whole: Welch's 6.97 count as 6.
    assert female.values["p_value"] == pytest.approx(np.asarray(expected).item(), rel=0.1)
    assert find(scores, "male").metrics["difference"].score == pytest.approx(-0.25)


def test_a_cluster_that_two_groups_share_is_left_out_of_both_at_once():
    paired = make_table({"female": [2, 6, 10, 14], "male": [4, 8, 12, 16]})
    paired["cluster"] = paired["cluster"].str.replace("female", "").str.replace("male", "")
    apart = make_table({"female": [2, 6, 10, 14], "male": [4, 8, 12, 16]})
    together, alone = (
        find(score_groups(table, ["gender"], CLASSES), "female") for table in (paired, apart)
    )
    assert together.metrics["difference"].score == pytest.approx(0.1)
    assert together.values["p_value"] == pytest.approx(2.0**-3)  # the same in all four clusters
    assert alone.values["p_value"] > 0.5


def test_small_and_missing_groups_are_shown_and_not_tested():
    table = make_table({"female": [2, 4, 6], "male": [6, 8, 8], "other": [1, 1, 1]})
    table = table[(table["gender"] != "other") | (table.groupby("cluster").cumcount() < 2)]
    table = table.iloc[:-1].reset_index(drop=True)  # other has five targets
    table.loc[table["cluster"] == "speaker female2", "gender"] = None
    table.loc[table["cluster"] == "speaker male2", "gender"] = " "
    scores = score_groups(table, ["gender"], CLASSES)
    assert [one.group.name for one in scores] == [
        "gender female (n = 40)",
        "gender male (n = 40)",
        "gender other (n = 5)",
        "gender not given (n = 40)",
    ]
    assert find(scores, "other").metrics["pooled_uar"].n == 5
    assert not any(one.values for one in scores)
    notes = list(describe_groups(scores, CLASSES))
    assert "gender, not tested: other (fewer than 20 targets)" in notes
    assert "gender, not tested: female, male (fewer than 3 speakers or dialogues)" in notes
    assert "gender, not tested: not given (nothing to compare)" in notes


def test_p_values_are_corrected_for_all_systems_and_two_groups_are_one_test():
    table = make_table({"female": [2, 4, 6, 8], "male": [6, 8, 8, 12]})
    table["half"] = np.where(table.groupby("cluster").cumcount() < 10, "first", "second")
    scores = correct([score_groups(table, ["gender", "half"], CLASSES)] * 2)
    smallest = min(one.values["p_value"] for one in scores[0])
    for one in scores[0]:
        if one.values["p_value"] == smallest:
            assert one.values["p_holm"] == pytest.approx(min(1, 4 * smallest))
    female, male = (find(scores[1], value) for value in ("female", "male"))
    assert female.values == male.values


def test_probabilities_are_scored_within_groups_where_targets_have_them():
    table = make_table({"female": [0, 0, 0], "male": [10, 10, 10]})
    table["p_yes"] = np.where(table["predicted"] == 1, 0.9, 0.1)
    table["p_no"] = 1 - table["p_yes"]
    table.loc[0, ["p_no", "p_yes"]] = np.nan  # a clip that could not be read
    scores = score_groups(table, ["gender"], CLASSES)
    female, male = (find(scores, value).metrics for value in ("female", "male"))
    assert female["overconfidence"].score == pytest.approx(-0.1)
    assert (female["overconfidence"].n, male["ece"].n) == (59, 60)
    assert male["overconfidence"].score == pytest.approx(0.9 - 0.5)
    assert male["ece"].score == pytest.approx(0.4)


def test_ages_are_in_ranges_other_numbers_in_quarters_and_words_of_numbers_too():
    table = make_table({"female": [0] * 20}, num_targets=1)
    table["age"], table["seconds"] = ["17", "18", "29", "n/a"] * 5, np.arange(20)
    groups = [(one.column, one.value, len(one.rows)) for one in stratify(table, ["age", "seconds"])]
    assert groups[:3] == [("age", "to 17", 5), ("age", "18 to 29", 10), ("age", "not given", 5)]
    assert [size for column, _, size in groups if column == "seconds"] == [5] * 4


def test_the_worst_group_and_absent_classes_are_named():
    table = make_table({"female": [2, 4, 6], "male": [6, 8, 8]})
    table = table[(table["gender"] == "male") | (table["target"] == 0)]
    notes = list(describe_groups(score_groups(table, ["gender"], CLASSES), CLASSES))
    assert notes[0].startswith("worst gender: male, pooled UAR 63.3; the lowest of several")
    assert notes[1] == "gender: UAR is over the classes that a group has; female has no yes"


def test_groups_of_predicted_numbers_are_compared_in_concordance():
    table = make_table({"female": [0, 0, 0], "male": [8, 8, 8]})
    table["rated"], table["found"] = table["target"], table["predicted"]
    measure = Measure(
        metric="ccc", jackknife=lambda one: jackknife_regression(one, "rated", "found").only(2)
    )
    female = find(score_groups(table, ["gender"], measure), "female")
    assert female.metrics["ccc"].score == pytest.approx(1.0)
    assert female.metrics["difference"].score == pytest.approx(1 - (1 - 2 * 0.4))


@pytest.mark.parametrize(
    ("column", "why"),
    [("age", "is not given by toy"), ("text", "makes no groups"), ("sex", "is not given by toy")],
)
def test_a_column_that_makes_no_groups_is_refused_with_those_that_do(column, why):
    table = make_table({"female": [0, 0]}, 2)[["utterance_id", "cluster", "gender"]]
    table = table.assign(corpus="toy", age=None, text="hello")
    with pytest.raises(ValueError, match=f"--by {column}: {why}; choose from cluster"):
        check_columns(table, [column], "--by")
