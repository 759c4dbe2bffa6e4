"""Takes no notice of init and microbatches."""

REJECTED_BY = "test_what_a_job_asks_for_is_done_or_refused"
BASE = "training_plain_script"
CHANGES = (
    (
        "    if job.init or job.microbatches != 1:\n"
        '        raise ValueError("this training knows neither init nor microbatches")\n',
        "",
    ),
)
