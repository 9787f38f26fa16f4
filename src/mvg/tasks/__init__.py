"""What is asked: tasks, each offered by the card of a data set, and their one description, the TaskSpec."""

from mvg.tasks.task import TargetType, Task, TaskSpec, kind_names, spec_of, tasks_for

__all__ = ["TargetType", "Task", "TaskSpec", "kind_names", "spec_of", "tasks_for"]
