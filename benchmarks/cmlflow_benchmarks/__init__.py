"""Research benchmarks: times and memory beside rivals, the paper's comparison, particle flow.

`commands` are those of ``cmlflow benchmark``: `speed`, `physics` and `flow`. The last two share what keeps results
(`keeping`), takes trained models (`models`), judges (`verdicts`) and writes (`publishing`).

Nothing is imported here: each process of the speed benchmark should hold only what it measures.
"""
