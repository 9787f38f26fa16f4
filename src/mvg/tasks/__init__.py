"""What is asked: tasks, each offered by the card of a data set, and their one description, the TaskSpec."""

from mvg.tasks.case_pair import CaseFiles, CasePair
from mvg.tasks.task import TargetType, Task, TaskSpec, evaluated_tasks, kind_names, spec_of, tasks_for

__all__ = [
    "CaseFiles", "CasePair", "TargetType", "Task", "TaskSpec", "evaluated_tasks", "kind_names", "spec_of", "tasks_for",
]  # fmt: skip
