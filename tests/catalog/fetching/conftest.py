from collections.abc import Iterator

import pytest

from tests.catalog.fetching.fetchers import Fetchers


@pytest.fixture
def make() -> Iterator[Fetchers]:
    fetchers = Fetchers()
    yield fetchers
    fetchers.close()
