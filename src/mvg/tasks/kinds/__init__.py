"""One file per kind of task.

Each holds `SPEC`, its TaskSpec, and `offered_by(card) -> list[Task]`, every task of the kind that a data set with this
card can serve (none where it cannot). It may hold `evaluated(tasks, data) -> list[Task]`, those of the offered tasks
that a benchmark evaluates; without it, all are.
"""
