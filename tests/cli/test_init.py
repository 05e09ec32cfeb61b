from __future__ import annotations

import pytest

from ble_ota.cli import main


def test_main_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["ble-ota", "inspect", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Tell what a firmware file is." in capsys.readouterr().out
