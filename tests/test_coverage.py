"""Every interval's coverage: the registered cases, with few repeats, and with all of them where slow."""

import coverage_cases
import pytest

CASES = {name: case for name, case in coverage_cases.load().items() if not case.elsewhere}
FEW = 200


def check(found: list[coverage_cases.Coverage], slack: float) -> None:
    assert found
    missed = [f"{one.name}: {one.coverage:.4f}" for one in found if not one.meets_bar(slack)]
    assert not missed, f"outside their bars: {missed}"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.repeats])
def test_few_repeats(name):
    check(CASES[name].coverages(min(FEW, CASES[name].repeats)), slack=4.0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.repeats])
def test_enumerated(name):
    check(CASES[name].coverages(), slack=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.repeats])
def test_all_repeats(name):
    check(CASES[name].coverages(), slack=0.0)


def test_bars_can_be_missed():
    def of(kind, coverage, repeats=4000, enumerated=None):
        return coverage_cases.Coverage("an interval", kind, coverage, repeats, enumerated)

    assert of("approximate", 0.94).meets_bar() and not of("approximate", 0.97).meets_bar()
    assert not of("approximate", 0.93).meets_bar()
    assert of("exact", 0.96, 0, 0.96).meets_bar() and not of("exact", 0.96, 0, 0.9600001).meets_bar()
    assert not of("exact", 0.949, 0, 0.949).meets_bar()
    assert of("conservative", 0.945).meets_bar() and not of("conservative", 0.93).meets_bar()
    assert not of("sequence", 0.93).meets_bar()
    assert of("bootstrap", 0.91).meets_bar() and not of("bootstrap", 0.89).meets_bar()
