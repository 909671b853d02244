"""What `understudy doctor` finds, on machines that lack this or that."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.harness.upstream import Upstream

from understudy import config, keys
from understudy.doctor import Finding, findings, report
from understudy.storage.api_keys import NO_LIMITS

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [f"{config.PREFIX}{setting.upper()}" for setting in config.SCALARS]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNDERSTUDY_PORT", "0")
    monkeypatch.setenv("UNDERSTUDY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UNDERSTUDY_CACHE_DIR", str(tmp_path / "cache"))


def find(part: str, found: Sequence[Finding]) -> Finding:
    return next(finding for finding in found if finding.part == part)


def broken(part: str, **flags: object) -> Finding:
    finding = find(part, list(findings(flags)))
    assert finding.state == "broken"
    assert finding.mend
    return finding


def test_a_good_machine_has_exit_code_0(upstream: Upstream, capsys: pytest.CaptureFixture[str]) -> None:
    assert report({"model_url": upstream.url}) == 0
    said = capsys.readouterr().out
    assert "BAD" not in said
    assert said.endswith("All that is needed is there.\n")


def test_documents_are_read_without_a_jail_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken_jail = tmp_path / "bwrap"
    broken_jail.write_text("#!/bin/sh\necho bubblewrap 0.1.0\n")
    broken_jail.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find("document readers", list(findings({})))
    assert found.state == "note"
    assert "0.8" in found.what


def test_a_missing_embedded_model_says_how_to_fetch_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert report({}) == 1
    assert "understudy models fetch" in capsys.readouterr().out


def test_a_model_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    assert str(own) in broken("embedded model", model_path=str(own)).what
    own.write_bytes(b"GGUF")
    assert find("embedded model", list(findings({"model_path": str(own)}))).state == "ok"


def test_a_system_without_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", not_there)
    assert "apt-get install libgomp1" in broken("embedded model").what


def test_an_upstream_that_is_not_there() -> None:
    assert "cannot be reached" in broken("upstream model_url", model_url=NOWHERE).what


def test_an_upstream_that_does_not_list_the_model(upstream: Upstream) -> None:
    finding = find("upstream model_url", list(findings({"model_url": upstream.url, "model": "other"})))
    assert (finding.state, finding.mend) == ("note", "it lists scripted")


def test_a_wrong_setting_ends_the_examination() -> None:
    found = list(findings({"lease_s": "0"}))
    assert [finding.part for finding in found] == ["Python", "settings"]
    assert found[-1].what == "lease_s is '0' (from --lease-s); allowed: a number from 1 to 600"


def test_a_misspelt_variable_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PROT", "1")
    notes = [finding.what for finding in findings({"model_url": NOWHERE}) if finding.state == "note"]
    assert "did you mean UNDERSTUDY_PORT?" in notes[0]


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a folder" in broken("data folder", data_dir=str(tmp_path / "file")).what


def test_a_database_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "data" / "understudy.sqlite3"
    path.parent.mkdir()
    path.write_text("certainly not a database" * 100)
    assert "not a database" in broken("database").what


def test_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "another program uses it" in broken("port", port=str(taken.getsockname()[1])).what


def test_a_reachable_host_needs_a_key() -> None:
    """As for the server itself, any key will do that was ever made."""
    mend = broken("keys", host="0.0.0.0").mend
    assert "understudy keys create" in mend
    keys.create(config.load({}), "proj_default", None, NO_LIMITS, admin=False)
    assert find("keys", list(findings({"host": "0.0.0.0"}))).state == "ok"


def test_a_key_of_the_settings_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_API_KEY", "sk-of-the-settings-0123456789")
    assert find("keys", list(findings({"host": "0.0.0.0"}))).state == "ok"


def test_loopback_needs_no_key() -> None:
    assert find("keys", list(findings({"host": "127.0.0.1"}))).state == "ok"
    assert find("keys", list(findings({"host": "no-such-host.invalid"}))).state == "note"


def test_a_missing_jail_says_what_to_do_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from understudy.sandbox import bubblewrap

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bubblewrap, "_NOT_ON_PATH", str(tmp_path / "bwrap"))
    finding = find("code interpreter", list(findings({"sandbox_dir": str(tmp_path)})))
    assert finding.state == "note"
    assert "apt-get install bubblewrap" in finding.what
    assert "understudy sandbox setup" in finding.what
    assert find("code interpreter", list(findings({"sandbox": "off"}))).state == "ok"
