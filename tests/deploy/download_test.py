"""Runs the script of the init container that downloads models, against a server of this machine."""
import functools
import hashlib
import http.server
import pathlib
import subprocess
import threading

import pytest
from rendering import find, pod_of

CONTENT = {"tiny/model_index.json": b"{}", "tiny/transformer/weights.bin": bytes(range(256)) * 64}


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *_) -> None:
        self.asked.append(self.path)


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    for path, content in CONTENT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    Quiet.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def download(tools, site, tmp_path):
    """Runs the script; returns the exit code and where the models lie. `wrong`: a file with another checksum."""
    models = tmp_path / "models"
    models.mkdir()

    def run(wrong: str = "") -> tuple[int, pathlib.Path]:
        flags = []
        for index, (path, content) in enumerate(CONTENT.items()):
            digest = hashlib.sha256(b"other" if path == wrong else content).hexdigest()
            flags.append(f"--set=models.download.files[{index}].path={path},models.download.files[{index}].url="
                         f"{site}/{path},models.download.files[{index}].sha256={digest}")
        objects = tools.chart(*flags)
        (init,) = pod_of(objects)["spec"]["initContainers"]
        (script,) = init["args"]
        (tmp_path / "list").write_text(find(objects, "ConfigMap")["data"]["models"])
        script = script.replace("/config/models", str(tmp_path / "list")).replace("cd /models", f"cd {models}")
        return subprocess.run([*init["command"], script], capture_output=True).returncode, models

    return run


def test_files_arrive_where_the_model_has_them(download):
    code, models = download()
    assert code == 0
    for path, content in CONTENT.items():
        assert (models / path).read_bytes() == content


def test_what_is_there_is_not_fetched_again(download):
    download()
    Quiet.asked.clear()
    assert download()[0] == 0
    assert not Quiet.asked


def test_damaged_file_is_fetched_again(download):
    _, models = download()
    (models / "tiny/model_index.json").write_bytes(b"{]")
    assert download()[0] == 0
    assert (models / "tiny/model_index.json").read_bytes() == b"{}"


@pytest.mark.parametrize("wrong", CONTENT)
def test_wrong_checksum_keeps_the_pod_from_starting(download, wrong):
    assert download(wrong)[0] != 0


def test_missing_file_keeps_the_pod_from_starting(download, monkeypatch):
    monkeypatch.setitem(CONTENT, "tiny/none.json", b"never written to the site")
    assert download()[0] != 0
