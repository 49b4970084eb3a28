"""The tests of the testing guide pass, as the project of a user that has them."""

import re
from pathlib import Path

import pytest

import retab_async
from retab_async.integrations import pytest_plugin

GUIDE = (Path(retab_async.__file__).parent / "guides" / "testing.md").read_text()
CODE, *TESTS = re.findall(r"```py\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.subprocess
def test_tests_of_the_guide_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(invoices=CODE, **{f"test_{number}": code for number, code in enumerate(TESTS)})
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")

    options = ("-p", "no:retab_async", "-p", pytest_plugin.__name__, "-p", "no:cacheprovider", "-W", "error")
    result = pytester.runpytest_subprocess(*options, timeout=60)

    result.assert_outcomes(passed=5)


def test_table_of_the_guide_lists_exactly_the_fixtures() -> None:
    listed = re.findall(r"(?m)^\| `(\w+)` \|", GUIDE)
    fixtures = [
        name for name, value in vars(pytest_plugin).items() if isinstance(value, type(pytest_plugin.retab_emulator))
    ]

    assert sorted(listed) == sorted(fixtures)
