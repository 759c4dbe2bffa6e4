"""The model with one part exchanged, a file each: what the ablations train beside the model itself.

A variant draws the same initial weights as the model wherever the two have a part in common.
"""
