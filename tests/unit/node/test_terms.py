"""Terms: an approval for one researcher, study, dataset, range, day, set of packages."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError
from fedmq.messages.replies import AWAITS_OPERATOR, RefusalCode
from fedmq.node.dependencies import MISSING, PACKAGES, describe_changes, read_dependencies
from fedmq.node.terms import Approval, Limit, judge_terms, parse_limit
from tests.support.mandates import changed
from tests.unit.node.test_policy import APPROVAL, EVALUATE, PREPARE, STUDY, TERMS, TRAIN

TODAY = "2027-03-15"
PACKAGES_NOW = {"torch": "2.5", "numpy": "2.1"}
GOOD = replace(APPROVAL, terms=TERMS.model_copy(update={"dependencies": PACKAGES_NOW}))


def approval(**terms: Any) -> Approval:  # noqa: ANN401 - fields of the terms
    """Return a good approval, but for some of its terms."""
    return replace(GOOD, terms=GOOD.terms.model_copy(update=terms))


@pytest.mark.parametrize("request_", [PREPARE, TRAIN, EVALUATE])
@pytest.mark.parametrize(
    ("approvals", "code"),
    [
        ((GOOD,), None),
        ((), RefusalCode.PLAN_AWAITS_APPROVAL),
        ((approval(researcher="bob"),), RefusalCode.RESEARCHER_NOT_APPROVED),
        ((approval(study=None),), RefusalCode.STUDY_NOT_APPROVED),
        (
            (approval(study=STUDY.model_copy(update={"end": "2028-12-31"})),),
            RefusalCode.STUDY_NOT_APPROVED,
        ),
        (
            (approval(study=STUDY.model_copy(update={"ethics": "another"})),),
            RefusalCode.STUDY_NOT_APPROVED,
        ),
        ((approval(datasets=("other",)),), RefusalCode.DATASET_NOT_APPROVED),
        ((approval(datasets=("other", "petct")),), None),
        ((replace(GOOD, last_day="2027-03-14"),), RefusalCode.APPROVAL_EXPIRED),
        ((replace(GOOD, last_day=TODAY),), None),
        (
            (approval(dependencies={**PACKAGES_NOW, "torch": "2.6"}),),
            RefusalCode.DEPENDENCIES_CHANGED,
        ),
        ((approval(dependencies={"torch": "2.5"}),), RefusalCode.DEPENDENCIES_CHANGED),
        ((approval(limits={"epochs": Limit(high=5)}),), RefusalCode.CONFIG_OUT_OF_RANGE),
        # One approval is enough; of several that do not hold, the one that fits best speaks.
        ((approval(researcher="bob"), GOOD), None),
        (
            (approval(researcher="bob"), approval(datasets=("other",)), approval(study=None)),
            RefusalCode.DATASET_NOT_APPROVED,
        ),
    ],
)
def test_an_approval_holds_for_what_it_names_and_nothing_else(
    request_: Any,  # noqa: ANN401 - any of the requests
    approvals: tuple[Approval, ...],
    code: RefusalCode | None,
) -> None:
    """And every no waits for the operator."""
    assert judge_terms(request_, approvals, PACKAGES_NOW, today=TODAY) == code
    assert code is None or code in AWAITS_OPERATOR


def test_approvals_do_not_add_up() -> None:
    """One for the researcher and another for the dataset are none."""
    parts = (approval(datasets=("other",)), approval(researcher="bob"))
    assert judge_terms(TRAIN, parts, PACKAGES_NOW, today=TODAY) is not None


def test_rounds_are_those_that_were_approved() -> None:
    """An experiment that wants more is told at once; one whose rounds are used up, then."""
    few = approval(max_rounds=5)
    no = RefusalCode.ROUNDS_NOT_APPROVED

    def judged(request: Any, num_rounds: int) -> RefusalCode | None:  # noqa: ANN401 - any
        used = (replace(few, num_rounds=num_rounds),)
        return judge_terms(request, used, PACKAGES_NOW, today=TODAY)

    assert judged(PREPARE, 0) is None
    assert judged(PREPARE, 1) == no
    assert judged(TRAIN, 4) is None
    assert judged(TRAIN, 5) == no
    assert judged(EVALUATE, 5) is None


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("epochs=1..5", [1, 5, 2.5, [1, 2]], [0, 6, True, "3", [], [1, 9]]),
        ("rate=..0.1", [0.1, -3], [0.2]),
        ("rate=0.1..", [0.1, 9], [0.05]),
        ("loss=cox,discrete", ["cox", "discrete"], ["ordinal", "", 1]),
        ("mask=true", [True], [False, 1]),
        ("shape=8", [8, [8, 8]], [9, [8, 9]]),
    ],
)
def test_a_limit_is_a_range_or_words(text: str, good: list[Any], bad: list[Any]) -> None:
    """Of a list, each part has to be allowed."""
    key, limit = parse_limit(text)
    assert f"{key}={limit}" == text
    for value, is_good in [*((one, True) for one in good), *((one, False) for one in bad)]:
        request = changed(TRAIN, config={key: value, "other": 7})
        code = judge_terms(request, (approval(limits={key: limit}),), PACKAGES_NOW, today=TODAY)
        assert code == (None if is_good else RefusalCode.CONFIG_OUT_OF_RANGE), value


@pytest.mark.parametrize("text", ["", "epochs", "epochs=", "=1..2", "epochs=..", "epochs=a..b"])
def test_what_limits_nothing_is_refused(text: str) -> None:
    """A limit that is misread would let everything through."""
    with pytest.raises(ConfigurationError, match="limits nothing"):
        parse_limit(text)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_range_holds_what_lies_between(low: float, high: float, value: float) -> None:
    """Its ends too."""
    assert Limit(low=low, high=high).holds(value) == (low <= value <= high)


def test_packages_are_told_apart_by_their_versions() -> None:
    """What is not installed has a word of its own."""
    now = read_dependencies()
    assert set(now) == {"fedmq", *PACKAGES}
    assert now["numpy"] not in {"", MISSING}
    assert describe_changes(now, now) == ""
    assert describe_changes({"a": "1", "b": "2"}, {"a": "2"}) == "a 1 -> 2, b 2 -> none"


def test_a_package_that_is_installed_while_the_node_runs_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next task; until then nothing is read anew."""
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    before = read_dependencies()
    for version, earlier in (("1.4", ""), ("1.5", "1.4")):
        about = tmp_path / f"monai-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: monai\nVersion: {version}\n")
        if earlier:
            shutil.rmtree(tmp_path / f"monai-{earlier}.dist-info")
        assert read_dependencies() == {**before, "monai": version}
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", pytest.fail)
        assert read_dependencies()["monai"] == "1.5"
