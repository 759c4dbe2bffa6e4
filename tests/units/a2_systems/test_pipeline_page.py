"""The page of the schedules: every one is drawn and listed, with the numbers of the simulator."""

from a2_systems.parallel.pipeline.schedules import SCHEDULES
from a2_systems.run.pipeline_schedules import PRESETS, PipelineSchedules, rows, timelines, write


def test_the_page_shows_every_schedule(tmp_path):
    config = PRESETS["tiny"]
    page = write(tmp_path, config).read_text(encoding="utf-8")
    for name in SCHEDULES:
        assert f"{name}: waiting" in page
    assert (tmp_path / "figures" / "timelines.png").stat().st_size > 10_000


def test_rows_are_in_units_of_a_ranks_layers():
    config = PipelineSchedules()
    found = {row[0]: row[1:] for row in rows(config, timelines(config)[0])}
    assert found["gpipe"] == ["33", "27.3 %", "8", "1", "48"]  # 3 x (8 + 3), 3/11, m, ..., 2 x 3 cuts x m
    assert found["1f1b"] == ["33", "27.3 %", "4", "1", "48"]
    assert found["interleaved"][4] == "112"  # seven cuts
    assert found["zero_bubble"][0] == "27"  # 3 x 8 + 3 x (1 + 1 - 1)
    assert found["dualpipe"][3] == "2"  # every stage lies on two ranks


def test_fewer_microbatches_than_ranks_leave_out_what_cannot_be_had(tmp_path):
    config = PipelineSchedules(num_ranks=4, num_microbatches=2)
    page = write(tmp_path, config).read_text(encoding="utf-8")
    found = {row[0]: row[1:] for row in rows(config, timelines(config)[0])}
    assert list(found) == ["gpipe", "1f1b", "zero_bubble"]
    assert found["1f1b"][:3] == ["15", "60.0 %", "2"]  # 3 x (2 + 3), 3/5, m
    assert "Left out: interleaved: 2 microbatches on 4 ranks" in page
    assert "Left out: dualpipe: 4 ranks and 2 microbatches" in page


def test_one_rank_sends_nothing():
    config = PipelineSchedules(num_ranks=1, num_microbatches=4)
    assert {row[-1] for row in rows(config, timelines(config)[0])} == {"0"}
