"""Pipeline parallelism: a schedule is a list of actions for each rank, checked, drawn and run as it stands."""
