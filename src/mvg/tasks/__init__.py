"""What is asked: tasks, each offered by the card of a data set."""

from mvg.tasks.task import Task, tasks_for

__all__ = ["Task", "tasks_for"]
