"""Benchmarks: scores of models by number of particles (`multiplicity`), and times and memory beside rivals (`speed`).

Nothing is imported here: each process of the speed benchmark should hold only what it measures.
"""
