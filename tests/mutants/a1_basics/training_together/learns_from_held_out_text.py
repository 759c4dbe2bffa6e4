"""Takes a step on every evaluation: the loss on held-out text says nothing any more."""

REJECTED_BY = "test_held_out_text_is_not_trained_on"
BASE = "training_plain_script"
CHANGES = (
    (
        '            held_out = held_out_loss(model, shards.tokens("val"), job)\n',
        '            held_out = held_out_loss(model, shards.tokens("val"), job)\n'
        "            optimizer.zero_grad()\n"
        '            loss_of(model, *windows(shards.tokens("val"), [0], length)).backward()\n'
        "            optimizer.step()\n",
    ),
)
