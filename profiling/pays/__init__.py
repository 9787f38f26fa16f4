"""The parts of `profiling.pays_page`: one for each thing that a user can give."""
