"""Saves over the last checkpoint: a save that is cut short leaves none."""

REJECTED_BY = "test_a_save_cut_short_does_no_harm"
BASE = "training_plain_script"
CHANGES = (
    (
        '    beside = path.with_suffix(".new")\n'
        "    torch.save(content, beside)\n"
        "    os.replace(beside, path)\n",
        "    torch.save(content, path)\n",
    ),
)
