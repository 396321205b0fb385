"""The comparison of arXiv:2603.23356, run on open showers: train, tune, test, compare, report.

`matrix` says what there is to run, `running` runs and keeps it, `results` turns what is kept into figures with
intervals, `claims` and `goals` judge them, `tables`, `figures` and `page` show them. `paper` holds the paper's own
numbers.
"""
