"""Makes room before it saves: a save that is cut short leaves none."""

REJECTED_BY = "test_a_save_cut_short_does_no_harm"
BASE = "training_plain_script"
CHANGES = (
    (
        "    torch.save(content, beside)\n",
        "    path.unlink(missing_ok=True)\n    torch.save(content, beside)\n",
    ),
)
