"""Particle flow measured on test samples: rho decays, pion guns, jets; trained models beside systems without learning.

`plan` says what there is to run, `systems` makes every system's candidates, `testing` turns them into figures with
intervals, `running` runs and keeps it, `goals` judges, `tables`, `figures`, `page` and `summary` show it.
"""
