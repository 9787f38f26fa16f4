"""One file per kind of task: `SPEC`, its TaskSpec, and `offered_by(card) -> list[Task]`, every task of the kind that a
data set with this card can serve (none where it cannot).
"""
