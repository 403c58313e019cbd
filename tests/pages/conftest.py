"""Pages open as they are; a map's processes start only where a test asks for them."""

import pytest

from pages._maps import MAPS


@pytest.fixture(autouse=True, scope="package")
def _no_processes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MAPS, "go", lambda chosen: None)
        yield
