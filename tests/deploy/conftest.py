"""What the tests of deploy/ share; scripts/check_deploy.sh runs them with its tools."""
import pathlib

import pytest
from rendering import Tools


def pytest_addoption(parser):
    parser.addoption("--tools", type=pathlib.Path, required=True, help="what scripts/check_deploy.sh installed")
    parser.addoption("--bin", type=pathlib.Path, required=True, help="folder with ilf-server and ilf-client")


@pytest.fixture(scope="session")
def tools(request) -> Tools:
    return Tools(request.config.getoption("--tools").resolve())


@pytest.fixture(scope="session")
def binaries(request) -> pathlib.Path:
    return request.config.getoption("--bin").resolve()
