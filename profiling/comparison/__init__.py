"""The parts of `profiling.compare_versions`: inputs, the process that predicts, and the measures."""
