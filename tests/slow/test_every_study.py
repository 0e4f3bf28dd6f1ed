"""Every study from its command to its report, in small; those of `make test` are left out."""

import pytest

from tests.test_studies import FOR_A_GPU, KINDS, run_study, variants

pytestmark = pytest.mark.figures


@pytest.mark.parametrize(
    "target", [each for each in variants() if each.partition(":")[2] not in FOR_A_GPU and each not in KINDS]
)
def test_every_study_runs_from_its_command_to_its_report(target, tmp_path, capsys, monkeypatch):
    run_study(target, tmp_path / "run", capsys, monkeypatch)
