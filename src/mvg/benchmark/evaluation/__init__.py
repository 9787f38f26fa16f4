"""Evaluates a user's predictions against labels, with the metrics of the benchmark: tables, CSV files and a page.

evaluation = evaluate(Path("predictions"), Path("labelsTr"))
write_evaluation(evaluation, Path("evaluation"))
"""

from mvg.benchmark.evaluation.evaluate import Evaluation, evaluate
from mvg.benchmark.evaluation.output import write_evaluation
from mvg.benchmark.evaluation.scores import image_scores, label_scores

__all__ = ["Evaluation", "evaluate", "image_scores", "label_scores", "write_evaluation"]
