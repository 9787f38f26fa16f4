"""What improves a prediction after the first pass.

Each refinement has the signature (PredictionContext, VolumePrediction) -> VolumePrediction; a task's `postprocess`
names those that apply to it, in order.
"""
