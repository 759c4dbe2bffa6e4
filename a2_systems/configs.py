"""The settings of stage 2's programs and their presets."""
