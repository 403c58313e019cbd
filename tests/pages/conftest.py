"""Pages open as they are; a map's processes, and the one of exports, start only where a test asks for them."""

import pytest

from pages._maps import MAPS
from pages._studio import STUDIO


@pytest.fixture(autouse=True, scope="package")
def _no_processes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MAPS, "go", lambda chosen: None)
        patch.setattr(STUDIO, "warm", lambda: None)
        yield
    STUDIO.end()
