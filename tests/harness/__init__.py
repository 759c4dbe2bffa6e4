"""The grader: it judges an implementation of a stage from outside the process that runs it."""
