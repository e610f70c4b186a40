"""A study whose question an analysis answers: command, folder, settings, messages."""

import json

import pandas as pd
import pytest

from reliability import Chip, UserError, devices
from reliability.design import Study, load_study
from reliability.session import run_study
from reliability.study import main

STUDY = """
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from reliability import Chip, Study, devices
from reliability.analysis import Analysis, Answer


@dataclass(frozen=True)
class Worst(Analysis):
    share: float = 0.1

    def plan(self, setting):
        return f"the worst {self.share:.0%} of {setting.chips} chips"

    def answer(self, setting):
        simulation = setting.simulation()
        scores = sorted(simulation.block(0, 0, setting.chips).scores.ravel())
        table = pd.DataFrame({"share": [self.share], "accuracy": [scores[int(self.share * len(scores))]]})
        return Answer({"worst": table}, f"accuracy {table.accuracy[0]:.3f}", Figure)


study = Study(question="How bad is a bad chip?", network="digits-mlp", dataset="digits",
              chip=Chip(device=devices.gaussian(sigma=0.1)), chips=8, inputs=50, analysis=Worst())
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "worst.py"
    path.write_text(STUDY)
    return path


def test_an_analysis_writes_its_tables_figure_and_provenance(path, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(path), "--out", str(out), "--set", "analysis.share=0.5"]) == 0
    table = pd.read_csv(out / "worst.csv")
    assert table["share"].tolist() == [0.5]
    assert (out / "figure.pdf").is_file() and (out / "figure.png").is_file()
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["settings"]["analysis"] == {"share": 0.5}
    assert list(provenance["tables_sha256"]) == ["worst.csv"]
    assert "How bad is a bad chip?\n\naccuracy" in capsys.readouterr().out


def test_a_sweep_in_the_same_folder_removes_the_analysis_tables(path, tmp_path):
    out = tmp_path / "out"
    name, study = load_study(str(path))
    run_study(name, study, out, quiet=True)
    name, sweep = load_study("accuracy_vs_variation")
    sweep = sweep.set("vary.device.sigma=[0.0, 0.1]").set("chips=4").set("inputs=20")
    run_study(name, sweep, out, quiet=True)
    assert not (out / "worst.csv").exists() and (out / "trials.parquet").is_file()


def test_describe_tells_the_plan_and_the_fields(path, capsys):
    assert main([str(path), "--describe"]) == 0
    told = capsys.readouterr().out
    assert "Analysis   the worst 10% of 8 chips" in told and "analysis.share = 0.1" in told
    assert "ci_width" not in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--resume"], "is an analysis, whose steps are not kept"),
        (["--ci-width", "0.01"], "varies nothing and takes no ci_width"),
        (["--set", "analysis.part=1"], "analysis.part is not a field; fields of analysis are share"),
    ],
)
def test_what_an_analysis_does_not_take(path, tmp_path, capsys, arguments, told):
    assert main([str(path), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_study_has_a_figure_or_an_analysis():
    with pytest.raises(UserError, match="either a figure, of a sweep, or an analysis"):
        Study("What?", "digits-mlp", "digits", Chip(device=devices.ideal()))
